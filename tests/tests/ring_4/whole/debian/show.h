/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How the programs that are run with either library print what both must return. */

#ifndef SHOW_H_
#define SHOW_H_

#include <stdio.h>
#include <stdlib.h>

#define SHOW_TEXTS(call)                                \
  do {                                                  \
    char **own = (call);                                \
    printf ("%s =", #call);                             \
    for (size_t n = 0; own != NULL && own[n]; n++) {    \
      printf (" %s", own[n]);                           \
      free (own[n]);                                    \
    }                                                   \
    puts (own != NULL ? "" : " NULL");                  \
    free (own);                                         \
  } while (0)

#endif
