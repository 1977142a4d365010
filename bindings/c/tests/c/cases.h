/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the cases of api.yaml are made of, in C; tests/src has the same for Rust. */

#ifndef CASES_H_
#define CASES_H_

#define GUESTFS_PRIVATE 1
#define GUESTFS_NO_WARN_DEPRECATED 1

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <guestfs.h>

struct test_case {
  const char *title;
  const char *disk;
  char *const *needs;           /* features, or NULL */
  bool usual;                   /* run even if not all are */
  void (*body) (guestfs_h *g);
};

/* Runs the cases that are wanted, and returns what main is to return. */
extern int run_cases (const struct test_case *cases, size_t number);

#define TEXTS(...) ((char *[]) { __VA_ARGS__ })

/* The file of the host that a case writes, in its own directory. */
#define OUTPUT "output"

/* Where functions that return bytes put their number. */
extern size_t size;

/* A file of the host with this content.  It is valid until the case ends, as are these texts. */
extern const char *sends (const char *content, size_t size);
extern char *repeat (const char *unit, size_t size, size_t times);

/* A step has to succeed, or the case ends. */
#define STEP(condition)                                                 \
  do {                                                                  \
    if (!(condition)) {                                                 \
      step_failed (g);                                                  \
      return;                                                           \
    }                                                                   \
  } while (0)

#define STEP_TEXT(call)                                                 \
  do {                                                                  \
    char *own = (call);                                                 \
    STEP (own != NULL);                                                 \
    free (own);                                                         \
  } while (0)

#define STEP_TEXTS(call)                                                \
  do {                                                                  \
    char **own = (call);                                                \
    STEP (own != NULL);                                                 \
    free_texts (own);                                                   \
  } while (0)

#define STEP_STRUCT(name, call)                                         \
  do {                                                                  \
    struct guestfs_##name *own = (call);                                \
    STEP (own != NULL);                                                 \
    guestfs_free_##name (own);                                          \
  } while (0)

extern void step_failed (guestfs_h *g);
extern void free_texts (char **texts);

/* The result is exactly this.  What is the caller's to free is freed. */
extern void returns_number (guestfs_h *g, int64_t got, int64_t expected);
extern void returns_nothing (const char *got);
extern void returns_kept_text (guestfs_h *g, const char *got, const char *expected);
extern void returns_text (guestfs_h *g, char *got, const char *expected);
extern void returns_bytes (guestfs_h *g, char *got, const char *expected, size_t expected_size);
extern void returns_texts (guestfs_h *g, char **got, char *const *expected);
/* Pairs in any order. */
extern void returns_hash (guestfs_h *g, char **got, char *const *expected);

/* The text of the result matches this; if LINES, then ^ and $ are at each of its lines. */
extern void matches_number (guestfs_h *g, int64_t got, const char *pattern, bool lines);
extern void matches_kept_text (guestfs_h *g, const char *got, const char *pattern, bool lines);
extern void matches_text (guestfs_h *g, char *got, const char *pattern, bool lines);
extern void matches_bytes (guestfs_h *g, char *got, const char *pattern, bool lines);
extern void matches_texts (guestfs_h *g, char **got, const char *pattern, bool lines);
extern void matches_hash (guestfs_h *g, char **got, const char *pattern, bool lines);

/* Fields of a structure, and the length of a list of them. */
extern void field_number (const char *name, int64_t got, int64_t expected);
extern void field_text (const char *name, const char *got, const char *expected);
extern void field_bytes (const char *name, const char *got, size_t got_size,
                         const char *expected, size_t expected_size);
extern bool has_length (size_t got, size_t expected);

/* The call failed; the error has this errno and these words. */
extern void fails (guestfs_h *g, bool failed, int expected_errno, const char *says);

/* The file that was written has exactly this content. */
extern void wrote (const char *expected, size_t expected_size);

#endif
