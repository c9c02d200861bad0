#!/bin/sh
# Runs one command of a deployed image. It is called through links; a link's name is the command.
#
# It reads from the environment:
#   SSDS_RUNTIME  apptainer, singularity, podman or plain, instead of the site's order
#   SSDS_GPU      nvidia, rocm or none, instead of looking for devices
#   SSDS_BINDS    more folders to see: source[:target[:ro|rw]], separated by commas
#   SSDS_ARCH     a level (zen3, v3, generic), instead of looking at the processor
# What the program gets: the caller's environment, without variables that point programs at the
# host's libraries (LD_*, PYTHON*, R_*, JULIA_*, PERL5LIB), then the image's own.

ssds_fail() {
    printf 'ssds: %s\n' "$*" >&2
    exit 127
}

# A link to one of our links may stand anywhere: follow links until the folder is one of ours.
ssds_self=$0
case $ssds_self in
*/*) ;;
*) ssds_self=./$ssds_self ;;
esac
ssds_hops=0
while :; do
    ssds_command=${ssds_self##*/}
    ssds_bin=${ssds_self%/*}
    [ -f "$ssds_bin/../.ssds-release" ] && break
    if [ ! -h "$ssds_self" ] || [ "$ssds_hops" -ge 40 ]; then
        ssds_fail "$0 is not a link to a deployed command"
    fi
    ssds_hops=$((ssds_hops + 1))
    ssds_link=$(readlink "$ssds_self") || ssds_fail "cannot read the link $ssds_self"
    case $ssds_link in
    /*) ssds_self=$ssds_link ;;
    *) ssds_self=$ssds_bin/$ssds_link ;;
    esac
done
ssds_bin=$(CDPATH='' cd -P -- "$ssds_bin" && pwd -P) || ssds_fail "cannot enter $ssds_bin"
ssds_wrappers=${ssds_bin%/*/*/*}
ssds_top=${ssds_wrappers%/*/*/*/*/*/*}

ssds_program='' ssds_image='' ssds_release='' ssds_platforms=''
ssds_runtimes='' ssds_binds='' ssds_site_gpu='' ssds_hook=''
# shellcheck source=/dev/null
. "$ssds_bin/../.ssds-release" || exit 127
# shellcheck source=/dev/null
. "$ssds_wrappers/.ssds/site" || exit 127
case $ssds_platforms in
*[/\ ]*)
    # shellcheck source=/dev/null
    . "$ssds_wrappers/.ssds/select" || exit 127
    ssds_select
    ;;
*) ssds_platform=$ssds_platforms ;;
esac
[ -n "$ssds_platform" ] ||
    ssds_fail "$ssds_release is here for $ssds_platforms, of which this machine runs none"
ssds_facts
[ -n "$ssds_program" ] || ssds_fail "$ssds_release offers no command $ssds_command"

# Inside the same image already: a program calls a sibling by its wrapper.
if [ -r /.ssds-image ]; then
    IFS= read -r ssds_inside </.ssds-image
    [ "$ssds_inside" = "$ssds_image" ] && exec "$ssds_program" "$@"
fi
case ${APPTAINER_CONTAINER:-${SINGULARITY_CONTAINER:-}} in
*/"$ssds_image") exec "$ssds_program" "$@" ;;
esac
[ -d "$ssds_top/$ssds_image" ] ||
    ssds_fail "$ssds_release: its image is not in $ssds_top/.flat; deploy it again"

ssds_runtime=${SSDS_RUNTIME:-}
case $ssds_runtime in
'') for ssds_runtime in $ssds_runtimes; do
    [ "$ssds_runtime" = plain ] && break
    command -v "$ssds_runtime" >/dev/null 2>&1 && break
    ssds_runtime=''
done ;;
apptainer | singularity | podman)
    command -v "$ssds_runtime" >/dev/null 2>&1 ||
        ssds_fail "SSDS_RUNTIME is $ssds_runtime, but there is no such program here"
    ;;
plain) ;;
*) ssds_fail "SSDS_RUNTIME is '$ssds_runtime'; use apptainer, singularity, podman or plain" ;;
esac
[ -n "$ssds_runtime" ] || ssds_fail "none of these programs is here: $ssds_runtimes"

# The site's own words for this machine: variables and binds for its MPI, for instance.
if [ -n "$ssds_hook" ] && [ -r "$ssds_hook" ]; then
    # shellcheck source=/dev/null
    . "$ssds_hook"
fi

# Binds: the site's, one per line, then the caller's; source TAB target TAB mode.
ssds_newline='
'
ssds_tab='	'
# What Apptainer's users have set holds for the other runtimes too; it reads these itself.
ssds_theirs=''
case $ssds_runtime in
plain | podman)
    for ssds_name in APPTAINER_BIND APPTAINER_BINDPATH SINGULARITY_BIND SINGULARITY_BINDPATH; do
        eval "ssds_rest=\${$ssds_name:-}"
        while [ -n "$ssds_rest" ]; do
            ssds_bind=${ssds_rest%%,*}
            case $ssds_rest in
            *,*) ssds_rest=${ssds_rest#*,} ;;
            *) ssds_rest='' ;;
            esac
            case $ssds_bind in
            /*) [ ! -e "${ssds_bind%%:*}" ] || ssds_theirs=${ssds_theirs:+$ssds_theirs,}$ssds_bind ;;
            esac
        done
    done
    ;;
esac
ssds_rest=${SSDS_BINDS:-}${ssds_theirs:+${SSDS_BINDS:+,}$ssds_theirs}
while [ -n "$ssds_rest" ]; do
    ssds_bind=${ssds_rest%%,*}
    case $ssds_rest in
    *,*) ssds_rest=${ssds_rest#*,} ;;
    *) ssds_rest='' ;;
    esac
    ssds_source=${ssds_bind%%:*} ssds_target=${ssds_bind%%:*} ssds_mode=rw
    case $ssds_bind in
    *:*:*:*) ssds_source='' ;;
    *:*:ro | *:*:rw)
        ssds_mode=${ssds_bind##*:}
        ssds_target=${ssds_bind#*:}
        ssds_target=${ssds_target%:*}
        ;;
    *:*:*) ssds_source='' ;;
    *:*) ssds_target=${ssds_bind#*:} ;;
    esac
    case $ssds_source$ssds_newline$ssds_target in
    /*"$ssds_newline"/*"$ssds_newline"* | *"$ssds_tab"* | */../* | */..) ssds_source='' ;;
    /*"$ssds_newline"/?*) ;;
    *) ssds_source='' ;;
    esac
    [ -n "$ssds_source" ] ||
        ssds_fail "SSDS_BINDS: '$ssds_bind' is not /source[:/target[:ro|rw]]"
    [ -e "$ssds_source" ] || ssds_fail "SSDS_BINDS: $ssds_source does not exist"
    ssds_binds=$ssds_binds$ssds_source$ssds_tab$ssds_target$ssds_tab$ssds_mode$ssds_newline
done

# The working folder, as the kernel sees it; the image's own folders stay the image's.
ssds_cwd=$(pwd -P 2>/dev/null)
case $ssds_cwd in
/*["$ssds_newline$ssds_tab"]*) ssds_cwd='' ;;
/*) [ -d "$ssds_cwd" ] && [ -x "$ssds_cwd" ] || ssds_cwd='' ;;
*) ssds_cwd='' ;;
esac
if [ -z "$ssds_cwd" ]; then
    printf 'ssds: the working folder cannot be reached; %s starts in /\n' "$ssds_command" >&2
    ssds_cwd=/
fi
ssds_inner=$ssds_top/$ssds_image$ssds_cwd
ssds_see_cwd=yes
if [ "$ssds_cwd" = / ]; then
    ssds_see_cwd=''
elif [ -d "$ssds_inner" ]; then
    for ssds_entry in "$ssds_inner"/* "$ssds_inner"/.[!.]*; do
        [ -e "$ssds_entry" ] || [ -h "$ssds_entry" ] || continue
        case $ssds_cwd in
        "${HOME:-/}" | "${HOME:-/}"/* | /tmp | /tmp/* | /var/tmp | /var/tmp/*) ;;
        *) ssds_see_cwd='' ;;
        esac
        break
    done
fi
# The host's libraries are not the image's. Apptainer itself may need LD_LIBRARY_PATH, and gives
# it to no program.
ssds_names=$(export -p)
IFS=$ssds_newline
set -f
for ssds_name in $ssds_names; do
    ssds_name=${ssds_name#export }
    ssds_name=${ssds_name#declare -x }
    ssds_name=${ssds_name%%=*}
    case $ssds_name in
    *[!A-Za-z0-9_]*) ;;
    LD_LIBRARY_PATH) [ "$ssds_runtime" != plain ] || unset LD_LIBRARY_PATH ;;
    LD_* | PYTHON* | R_* | JULIA_* | PERL5LIB | PERLLIB) unset "$ssds_name" ;;
    esac
done
set +f
unset IFS
[ -d "${TMPDIR:-/tmp}" ] || unset TMPDIR

if [ "$ssds_runtime" = plain ]; then
    PATH=/usr/sbin:/usr/bin:/sbin:/bin
    export PATH
    if ! ssds_why=$(unshare --user --map-current-user --keep-caps true 2>&1); then
        ssds_why=${ssds_why%%"$ssds_newline"*}
        ssds_fail "$ssds_command needs apptainer, or user namespaces and util-linux 2.36 ($ssds_why)"
    fi
    exec unshare --user --map-current-user --keep-caps --mount \
        /bin/sh "$ssds_wrappers/.ssds/plain" \
        "$ssds_top" "$ssds_bin" "$ssds_command" "$ssds_platform" \
        "$ssds_cwd" "$ssds_see_cwd" "$ssds_binds" "$@"
    exit 127
fi

ssds_gpu=${SSDS_GPU:-$ssds_site_gpu}
if [ -z "$ssds_gpu" ] && [ -e /dev/nvidiactl ]; then
    ssds_gpu=nvidia
elif [ -z "$ssds_gpu" ] && [ -e /dev/kfd ]; then
    ssds_gpu=rocm
fi
case $ssds_gpu in
'' | nvidia | rocm | none) ;;
*) ssds_fail "SSDS_GPU is '$ssds_gpu'; use nvidia, rocm or none" ;;
esac

# Podman lays a layer over the image that ends with the program, so that places for binds can be
# made. It obeys variables itself (PATH, LD_PRELOAD, XDG_RUNTIME_DIR, CONTAINERS_CONF ...): what the
# image says is given by word and never stands in podman's own environment.
if [ "$ssds_runtime" = podman ]; then
    # shellcheck disable=SC2034 # read by eval
    ssds_words='LD_LIBRARY_PATH' ssds_value_of_LD_LIBRARY_PATH=''
    # shellcheck disable=SC2317 # ssds_environment calls it
    ssds_set() {
        ssds_words="$ssds_words $1"
        eval "ssds_value_of_$1=\$2"
    }
    # shellcheck disable=SC2317
    ssds_default() {
        eval "ssds_set \"\$1\" \"\${$1-\$2}\""
    }
    ssds_environment
    set -- --rootfs "$ssds_top/$ssds_image:O" "$ssds_program" "$@"
    for ssds_name in $ssds_words; do
        eval "set -- --env \"\$ssds_name=\$ssds_value_of_$ssds_name\" \"\$@\""
    done
    ssds_seen=$ssds_newline
    for ssds_source in "${ssds_see_cwd:+$ssds_cwd}" "${HOME:-}" /tmp /var/tmp "${TMPDIR:-}"; do
        case ${ssds_source%/} in
        '' | [!/]* | *[:,"$ssds_tab$ssds_newline"]*) continue ;;
        esac
        ssds_source=${ssds_source%/}
        [ ! -d "$ssds_source" ] ||
            ssds_binds=$ssds_binds$ssds_source$ssds_tab$ssds_source${ssds_tab}rw$ssds_newline
    done
    while [ -n "$ssds_binds" ]; do
        ssds_bind=${ssds_binds%%"$ssds_newline"*}
        ssds_binds=${ssds_binds#*"$ssds_newline"}
        ssds_source=${ssds_bind%%"$ssds_tab"*}
        ssds_bind=${ssds_bind#*"$ssds_tab"}
        ssds_target=${ssds_bind%%"$ssds_tab"*}
        case $ssds_seen in
        *"$ssds_newline$ssds_target$ssds_newline"*) continue ;;
        esac
        ssds_seen=$ssds_seen$ssds_target$ssds_newline
        [ ! -e "$ssds_source" ] ||
            set -- --volume "$ssds_source:$ssds_target:${ssds_bind##*"$ssds_tab"},rbind" "$@"
    done
    case $ssds_gpu in
    nvidia) set -- --device nvidia.com/gpu=all "$@" ;;
    rocm) set -- --device /dev/kfd --device /dev/dri "$@" ;;
    esac
    [ "$(id -u)" = 0 ] || set -- --userns=keep-id "$@"
    if [ -t 0 ] && [ -t 1 ]; then set -- --tty "$@"; fi
    exec podman --log-level=error run --rm --interactive --network=host --pid=host --ipc=host \
        --security-opt label=disable --env-host --workdir "$ssds_cwd" "$@"
    exit 127
fi

# Apptainer and Singularity. They would evaluate values as shell text: $HOME would become a path.
APPTAINER_NO_EVAL=1 SINGULARITY_NO_EVAL=1
export APPTAINER_NO_EVAL SINGULARITY_NO_EVAL
ssds_set() {
    export "APPTAINERENV_$1=$2" "SINGULARITYENV_$1=$2"
}
ssds_default() {
    eval "ssds_set \"\$1\" \"\${$1-\$2}\""
}
ssds_environment
set -- "$ssds_top/$ssds_image" "$ssds_program" "$@"
case $ssds_cwd in
*[:,]*) ssds_see_cwd='' ;;
esac
[ -z "$ssds_see_cwd" ] || set -- --bind "$ssds_cwd" "$@"
set -- --pwd "$ssds_cwd" "$@"
case ${TMPDIR:-} in
'' | /tmp | /tmp/* | *[:,]*) ;;
/*) set -- --bind "$TMPDIR" "$@" ;;
esac
while [ -n "$ssds_binds" ]; do
    ssds_bind=${ssds_binds%%"$ssds_newline"*}
    ssds_binds=${ssds_binds#*"$ssds_newline"}
    ssds_source=${ssds_bind%%"$ssds_tab"*}
    ssds_bind=${ssds_bind#*"$ssds_tab"}
    [ ! -e "$ssds_source" ] ||
        set -- --bind "$ssds_source:${ssds_bind%%"$ssds_tab"*}:${ssds_bind##*"$ssds_tab"}" "$@"
done
case $ssds_gpu in
nvidia) set -- --nv "$@" ;;
rocm) set -- --rocm "$@" ;;
esac
exec "$ssds_runtime" --silent exec "$@"
