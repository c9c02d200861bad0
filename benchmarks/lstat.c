/* Asks for the metadata of every path that a file names: the least that any no-op can cost. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int main(int count, char **arguments) {
  static char path[4096];
  struct stat found;
  long paths = 0;
  FILE *list = count == 2 ? fopen(arguments[1], "r") : NULL;
  if (!list) return 1;
  while (fgets(path, sizeof path, list)) {
    path[strcspn(path, "\n")] = 0;
    if (lstat(path, &found)) return 1;
    paths++;
  }
  printf("%ld\n", paths);
  return 0;
}
