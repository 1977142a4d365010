/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the test programs have in common. */

#ifndef CHECK_H_
#define CHECK_H_

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The program goes on after a failure, and ends with this. */
static int failures;

#define CHECK(condition)                                                \
  do {                                                                  \
    if (!(condition)) {                                                 \
      fprintf (stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);  \
      failures++;                                                       \
    }                                                                   \
  } while (0)

#define CHECK_TEXT(actual, expected)                                    \
  do {                                                                  \
    const char *it = (actual);                                          \
    if (it == NULL || strcmp (it, (expected)) != 0) {                   \
      fprintf (stderr, "%s:%d: %s is \"%s\"\n", __FILE__, __LINE__,     \
               #actual, it ? it : "(null)");                            \
      failures++;                                                       \
    }                                                                   \
  } while (0)

static inline void
free_texts (char **texts)
{
  for (size_t i = 0; texts != NULL && texts[i] != NULL; i++)
    free (texts[i]);
  free (texts);
}

#endif
