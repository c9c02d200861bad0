#!/bin/sh
# Builds the root of an image in a mount namespace of the caller's own, and becomes the program.
# Called by the wrapper inside `unshare --user --map-current-user --keep-caps --mount`.
#
# A tmpfs is the root. The image's folders are bound into it; the host's /proc, /sys, /dev, /tmp,
# the home folder, the working folder and the site's folders are bound over. An image folder that
# must hold a bind, but has no place for it, is made anew with its entries bound one by one. All
# mounts are written to one table, so that a single process makes them.

ssds_fail() {
    printf 'ssds: %s\n' "$*" >&2
    exit 127
}

# shellcheck disable=SC2034 # ssds_facts reads it
ssds_top=$1 ssds_bin=$2 ssds_command=$3 ssds_platform=$4
ssds_cwd=$5 ssds_see_cwd=$6 ssds_wanted=$7
shift 7
ssds_newline='
'
ssds_tab='	'
ssds_program='' ssds_image='' ssds_setpriv=''
# shellcheck source=/dev/null
. "$ssds_bin/../.ssds-release" || exit 127
ssds_facts
ssds_tree=$ssds_top/$ssds_image
ssds_root=${ssds_bin%/*/*/*}/.ssds/root
ssds_table=''
ssds_late=''
ssds_needs=''
ssds_seen=''

# Unbindable: a bind of a folder that holds this tree must not bring the new root into itself.
mount -t tmpfs -o mode=0755,nosuid,nodev --make-unbindable ssds "$ssds_root" ||
    ssds_fail "cannot mount a root for $ssds_command"

# Gives, in ssds_text, a path as mount's table wants it.
ssds_escape() {
    ssds_text=$1
    case $1 in
    *[' \"#']*) ;;
    *) return ;;
    esac
    ssds_text='' ssds_left=$1
    while [ -n "$ssds_left" ]; do
        ssds_char=${ssds_left%"${ssds_left#?}"}
        ssds_left=${ssds_left#?}
        case $ssds_char in
        ' ') ssds_char='\040' ;;
        \\) ssds_char='\134' ;;
        '"') ssds_char='\042' ;;
        '#') ssds_char='\043' ;;
        esac
        ssds_text=$ssds_text$ssds_char
    done
}

# ssds_line SOURCE TARGET OPTIONS: gives, in ssds_text, one line of the table.
ssds_line() {
    ssds_escape "$1"
    ssds_from=$ssds_text
    ssds_escape "$ssds_root$2"
    ssds_text="$ssds_from $ssds_text none $3 0 0$ssds_newline"
}

# Says, in ssds_where, whether a wanted place is `at` this path, `below` it, or neither.
ssds_look() {
    ssds_where=''
    case $ssds_needs in
    *"$ssds_newline$1/"*) ssds_where='below' ;;
    *"$ssds_newline$1$ssds_newline"*) ssds_where='at' ;;
    esac
}

# ssds_want SOURCE TARGET OPTIONS: a bind of the host's; the first for a target counts.
ssds_want() {
    ssds_target=${2%/}
    case $ssds_seen in
    *"$ssds_newline$ssds_target$ssds_newline"*) return ;;
    esac
    ssds_seen=${ssds_seen:-$ssds_newline}$ssds_target$ssds_newline
    ssds_line "$1" "$ssds_target" "$3"
    ssds_inner=$ssds_tree$ssds_target
    ssds_up=$ssds_target
    while ssds_up=${ssds_up%/*} && [ -n "$ssds_up" ]; do
        if [ -h "$ssds_tree$ssds_up" ]; then
            printf 'ssds: %s is not visible: the image has a link at %s\n' "$2" "$ssds_up" >&2
            return
        fi
    done
    if [ ! -h "$ssds_inner" ]; then
        if [ -d "$1" ] && [ -d "$ssds_inner" ] || [ -f "$1" ] && [ -f "$ssds_inner" ]; then
            case $ssds_target in
            /*/*)
                ssds_late=$ssds_late$ssds_text
                return
                ;;
            esac
        fi
    fi
    ssds_table=$ssds_table$ssds_text
    ssds_needs=${ssds_needs:-$ssds_newline}$ssds_target$ssds_newline
    if [ -d "$1" ]; then
        ssds_folders=$ssds_folders$ssds_root$ssds_target$ssds_newline
    else
        ssds_folders=$ssds_folders$ssds_root${ssds_target%/*}$ssds_newline
        ssds_files=$ssds_files$ssds_root$ssds_target$ssds_newline
    fi
}

# Whether a folder of the host is already visible under its own name.
ssds_visible() {
    case $ssds_seen in
    *"$ssds_newline$1$ssds_newline"*) return 0 ;;
    esac
    ssds_up=$1
    while ssds_up=${ssds_up%/*} && [ -n "$ssds_up" ]; do
        case $ssds_seen in
        *"$ssds_newline$ssds_up$ssds_newline"*) return 0 ;;
        esac
    done
    return 1
}

# Lays out one folder of the image: its entries are bound, or rebuilt where they must hold a bind.
ssds_lay() {
    for ssds_entry in "$ssds_tree$1"/* "$ssds_tree$1"/.[!.]* "$ssds_tree$1"/..?*; do
        ssds_path=$1/${ssds_entry##*/}
        case $ssds_path in
        *["$ssds_newline$ssds_tab"]*) continue ;;
        esac
        if [ -h "$ssds_entry" ]; then
            ssds_look "$ssds_path"
            [ -n "$ssds_where" ] || ssds_links=$ssds_links$ssds_entry$ssds_newline
            continue
        fi
        [ -e "$ssds_entry" ] || continue
        ssds_look "$ssds_path"
        case $ssds_where in
        at) continue ;;
        below)
            if [ -d "$ssds_entry" ]; then
                ssds_copy "$1"
                ssds_lay "$ssds_path"
            fi
            continue
            ;;
        esac
        if [ -d "$ssds_entry" ]; then
            ssds_folders=$ssds_folders$ssds_root$ssds_path$ssds_newline
        else
            : >"$ssds_root$ssds_path"
        fi
        ssds_line "$ssds_entry" "$ssds_path" rbind
        ssds_table=$ssds_table$ssds_text
    done
    ssds_copy "$1"
}

# Makes the folders and copies the links that were collected for one folder.
ssds_copy() {
    ssds_into=$ssds_root$1/
    set -f
    IFS=$ssds_newline
    # shellcheck disable=SC2086
    [ -z "$ssds_folders" ] || mkdir -p -- $ssds_folders || exit 127
    # shellcheck disable=SC2086
    [ -z "$ssds_links" ] || cp -P -- $ssds_links "$ssds_into" || exit 127
    unset IFS
    set +f
    ssds_folders='' ssds_links=''
}

ssds_folders='' ssds_links='' ssds_files=''
for ssds_host in /proc /sys /dev /tmp /var/tmp; do
    [ ! -d "$ssds_host" ] || ssds_want "$ssds_host" "$ssds_host" rbind
done
while [ -n "$ssds_wanted" ]; do
    ssds_bind=${ssds_wanted%%"$ssds_newline"*}
    ssds_wanted=${ssds_wanted#*"$ssds_newline"}
    ssds_host=${ssds_bind%%"$ssds_tab"*}
    ssds_bind=${ssds_bind#*"$ssds_tab"}
    ssds_mode=rbind
    [ "${ssds_bind##*"$ssds_tab"}" = rw ] || ssds_mode=rbind,ro
    [ ! -e "$ssds_host" ] || ssds_want "$ssds_host" "${ssds_bind%%"$ssds_tab"*}" "$ssds_mode"
done
for ssds_host in "${HOME:-/}" "${TMPDIR:-/tmp}"; do
    case ${ssds_host%/} in
    '' | /usr | /etc | /bin | /sbin | /lib | /lib64 | /opt | /var | /run | [!/]*) continue ;;
    *["$ssds_newline$ssds_tab"]* | */../* | */.. | */./* | *//*) continue ;;
    esac
    [ ! -d "$ssds_host" ] || ssds_visible "${ssds_host%/}" ||
        ssds_want "$ssds_host" "$ssds_host" rbind
done
if [ -n "$ssds_see_cwd" ] && ! ssds_visible "$ssds_cwd"; then
    ssds_want "$ssds_cwd" "$ssds_cwd" rbind
fi
for ssds_host in /etc/passwd /etc/group /etc/resolv.conf /etc/hosts; do
    [ ! -f "$ssds_host" ] || ssds_want "$ssds_host" "$ssds_host" bind
done
[ -z "$ssds_files" ] || ssds_copy ''
while [ -n "$ssds_files" ]; do
    : >"${ssds_files%%"$ssds_newline"*}"
    ssds_files=${ssds_files#*"$ssds_newline"}
done
ssds_lay ''
[ -d "$ssds_root/run" ] || mkdir "$ssds_root/run"
printf '%s\n' "$ssds_image" >"$ssds_root/.ssds-image"
printf '%s' "$ssds_table$ssds_late" >"$ssds_root/.ssds-mounts"
ssds_why=$(mount -a -T "$ssds_root/.ssds-mounts" 2>&1) ||
    ssds_fail "cannot build the root of $ssds_command: ${ssds_why%%"$ssds_newline"*}"

ssds_unshare=$(command -v unshare)
cd "$ssds_root" || exit 127
# The new root becomes the namespace's own: programs inside may make user namespaces themselves.
mount --move . / 2>/dev/null
set -- "$ssds_program" "$@"
# The rights that the mounts needed end here.
[ -z "$ssds_setpriv" ] ||
    set -- "$ssds_setpriv" --ambient-caps=-all --inh-caps=-all -- "$@"
PWD=$ssds_cwd
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PWD PATH
unset OLDPWD
ssds_set() {
    export "$1=$2"
}
ssds_default() {
    eval "export \"$1=\${$1-\$2}\""
}
ssds_environment
exec "$ssds_unshare" --root=. --wd="$ssds_cwd" -- "$@"
