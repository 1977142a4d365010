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

/* The texts of this group are freed. */
#define CHECK_OWN_TEXT(actual, expected)                                \
  do {                                                                  \
    char *own = (actual);                                               \
    CHECK_TEXT (own, (expected));                                       \
    free (own);                                                         \
  } while (0)

#define CHECK_BYTES(actual, size, expected, expected_size)              \
  do {                                                                  \
    char *own = (actual);                                               \
    CHECK (own != NULL && (size) == (expected_size)                     \
           && memcmp (own, (expected), (expected_size)) == 0);          \
    free (own);                                                         \
  } while (0)

#define CHECK_TEXTS(actual, ...)                                        \
  do {                                                                  \
    char **own = (actual);                                              \
    CHECK (same_texts (own, __VA_ARGS__));                              \
    free_texts (own);                                                   \
  } while (0)

#define CHECK_ERROR(g, says)                                            \
  do {                                                                  \
    const char *error = guestfs_last_error (g);                         \
    CHECK (error != NULL && strstr (error, (says)) != NULL);            \
  } while (0)

#define CHECK_FILE(name, expected, expected_size)                       \
  CHECK (same_content ((name), (expected), (expected_size)))

static inline int
same_texts (char **actual, char **expected)
{
  size_t i;

  if (actual == NULL)
    return 0;
  for (i = 0; actual[i] != NULL && expected[i] != NULL; i++) {
    if (strcmp (actual[i], expected[i]) != 0)
      return 0;
  }
  return actual[i] == expected[i];
}

static inline int
same_content (const char *name, const char *expected, size_t size)
{
  char content[65536];
  FILE *file = fopen (name, "r");
  size_t n;

  if (file == NULL)
    return 0;
  n = fread (content, 1, sizeof content, file);
  fclose (file);
  return n == size && memcmp (content, expected, size) == 0;
}

static inline void
free_texts (char **texts)
{
  for (size_t i = 0; texts != NULL && texts[i] != NULL; i++)
    free (texts[i]);
  free (texts);
}

#endif
