/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs cases, and says what is not as it should be. */

#include <ftw.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "cases.h"

#define MIB (INT64_C (1) << 20)

size_t size;

static const struct test_case *current;
static bool current_failed;

/* Freed when the case ends. */
static void *kept[64];
static size_t nr_kept;

static void __attribute__ ((format (printf, 1, 2)))
failed (const char *format, ...)
{
  va_list args;

  current_failed = true;
  fprintf (stderr, "%s: ", current->title);
  va_start (args, format);
  vfprintf (stderr, format, args);
  va_end (args);
  fputc ('\n', stderr);
}

/* Something of the test, not of the library, went wrong. */
static void
broken (const char *what)
{
  perror (what);
  exit (2);
}

static void *
keep (void *memory)
{
  if (memory == NULL || nr_kept == sizeof kept / sizeof kept[0])
    broken ("memory");
  return kept[nr_kept++] = memory;
}

static const char *
error_of (guestfs_h *g)
{
  const char *error = guestfs_last_error (g);

  return error ? error : "no error";
}

/* Adds fresh copies of known disks. */
static int
add_disks (guestfs_h *g, const char *disk)
{
  const char *images = getenv ("GUESTFS_TEST_IMAGES");
  const char *name = disk;
  char base[4096];

  if (strcmp (disk, "blank") == 0) {
    if (guestfs_add_drive_scratch (g, 512 * MIB, -1) == -1
        || guestfs_add_drive_scratch (g, 512 * MIB, -1) == -1)
      return -1;
    return guestfs_add_drive_scratch (g, 50 * MIB, -1);
  }
  if (strcmp (disk, "ext4-mounted") == 0 || strcmp (disk, "readonly") == 0)
    name = "ext4";
  snprintf (base, sizeof base, "%s/%s.img", images ? images : ".", name);
  if (strcmp (disk, "readonly") == 0) {
    if (guestfs_add_drive_ro (g, base) == -1)
      return -1;
  } else {
    if (guestfs_disk_create (g, "overlay.qcow2", "qcow2", -1,
                             GUESTFS_DISK_CREATE_BACKINGFILE, base,
                             GUESTFS_DISK_CREATE_BACKINGFORMAT, "raw", -1) == -1
        || guestfs_add_drive_opts (g, "overlay.qcow2",
                                   GUESTFS_ADD_DRIVE_OPTS_FORMAT, "qcow2", -1) == -1)
      return -1;
  }
  return guestfs_add_drive_scratch (g, 512 * MIB, -1);
}

static bool
is_one_of (const char *disk, char *const *names)
{
  while (*names != NULL && strcmp (disk, *names) != 0)
    names++;
  return *names != NULL;
}

static void
run_on_disks (guestfs_h *g)
{
  const char *disk = current->disk;

  if (!is_one_of (disk, TEXTS ("config", "unlaunched", NULL))) {
    STEP (add_disks (g, disk) != -1);
    STEP (guestfs_launch (g) != -1);
    if (current->needs != NULL) {
      int available = guestfs_feature_available (g, current->needs);

      STEP (available != -1);
      if (!available) {
        printf ("%s: skipped: the appliance lacks a feature\n", current->title);
        return;
      }
    }
    if (!is_one_of (disk, TEXTS ("blank", "ext4", "readonly", NULL)))
      STEP (guestfs_mount (g, "/dev/sda1", "/") != -1);
  }
  current->body (g);
}

static int
remove_one (const char *path, const struct stat *info, int kind, struct FTW *where)
{
  (void) info, (void) kind, (void) where;
  return remove (path);
}

/* Runs the current case in a directory of its own. */
static void
run_current (void)
{
  char directory[] = "case.XXXXXX";
  guestfs_h *g = guestfs_create ();

  if (g == NULL || mkdtemp (directory) == NULL || chdir (directory) == -1)
    broken ("directory");
  guestfs_set_error_handler (g, NULL, NULL);
  run_on_disks (g);
  guestfs_close (g);
  while (nr_kept > 0)
    free (kept[--nr_kept]);
  if (chdir ("..") == -1 || nftw (directory, remove_one, 16, FTW_DEPTH | FTW_PHYS) == -1)
    broken (directory);
}

/* GUESTFS_TEST_CASES is "all", or part of the titles of those that are wanted. */
static bool
is_wanted (const struct test_case *it)
{
  const char *wanted = getenv ("GUESTFS_TEST_CASES");

  if (wanted == NULL || *wanted == '\0')
    return it->usual;
  return strcmp (wanted, "all") == 0 || strstr (it->title, wanted) != NULL;
}

int
run_cases (const struct test_case *cases, size_t number)
{
  size_t nr_run = 0, nr_failed = 0;

  for (current = cases; current < cases + number; current++) {
    if (!is_wanted (current))
      continue;
    current_failed = false;
    run_current ();
    nr_run++;
    nr_failed += current_failed;
  }
  printf ("%zu cases\n", nr_run);
  return nr_failed != 0;
}

const char *
sends (const char *content, size_t content_size)
{
  char *name = keep (strdup ("sent.XXXXXX"));
  int fd = mkstemp (name);
  FILE *file = fd == -1 ? NULL : fdopen (fd, "w");

  if (file == NULL || fwrite (content, 1, content_size, file) != content_size
      || fclose (file) == EOF)
    broken (name);
  return name;
}

char *
repeat (const char *unit, size_t unit_size, size_t times)
{
  char *text = keep (malloc (unit_size * times + 1));

  for (size_t i = 0; i < times; i++)
    memcpy (text + i * unit_size, unit, unit_size);
  text[unit_size * times] = '\0';
  return text;
}

void
step_failed (guestfs_h *g)
{
  failed ("a step failed: %s", error_of (g));
}

void
free_texts (char **texts)
{
  for (size_t i = 0; texts != NULL && texts[i] != NULL; i++)
    free (texts[i]);
  free (texts);
}

void
returns_number (guestfs_h *g, int64_t got, int64_t expected)
{
  if (got != expected)
    failed ("expected %" PRIi64 ", got %" PRIi64 " (%s)", expected, got, error_of (g));
}

void
returns_nothing (const char *got)
{
  if (got != NULL)
    failed ("expected nothing, got \"%s\"", got);
}

void
returns_kept_text (guestfs_h *g, const char *got, const char *expected)
{
  if (got == NULL)
    failed ("expected \"%s\", got the error: %s", expected, error_of (g));
  else if (strcmp (got, expected) != 0)
    failed ("expected \"%s\", got \"%s\"", expected, got);
}

void
returns_text (guestfs_h *g, char *got, const char *expected)
{
  returns_kept_text (g, got, expected);
  free (got);
}

void
returns_bytes (guestfs_h *g, char *got, const char *expected, size_t expected_size)
{
  if (got == NULL)
    failed ("expected %zu bytes, got the error: %s", expected_size, error_of (g));
  else
    field_bytes ("result", got, size, expected, expected_size);
  free (got);
}

static char *
joined (char *const *texts)
{
  size_t length = 1;
  char *out, *end;

  for (size_t i = 0; texts[i] != NULL; i++)
    length += strlen (texts[i]) + 1;
  out = end = keep (malloc (length));
  *end = '\0';
  for (size_t i = 0; texts[i] != NULL; i++)
    end = stpcpy (stpcpy (end, texts[i]), "\n");
  return out;
}

static size_t
length_of (char *const *texts)
{
  size_t length = 0;

  while (texts[length] != NULL)
    length++;
  return length;
}

static bool
has_pair (char *const *texts, const char *key, const char *value)
{
  for (size_t i = 0; texts[i] != NULL && texts[i + 1] != NULL; i += 2) {
    if (strcmp (texts[i], key) == 0)
      return strcmp (texts[i + 1], value) == 0;
  }
  return false;
}

static void
expected_texts (guestfs_h *g, char **got, char *const *expected, bool same)
{
  if (got == NULL)
    failed ("expected\n%sgot the error: %s", joined (expected), error_of (g));
  else if (!same)
    failed ("expected\n%sgot\n%s", joined (expected), joined (got));
  free_texts (got);
}

void
returns_texts (guestfs_h *g, char **got, char *const *expected)
{
  size_t length = length_of (expected);
  bool same = got != NULL && length_of (got) == length;

  for (size_t i = 0; same && i < length; i++)
    same = strcmp (got[i], expected[i]) == 0;
  expected_texts (g, got, expected, same);
}

void
returns_hash (guestfs_h *g, char **got, char *const *expected)
{
  size_t length = length_of (expected);
  bool same = got != NULL && length_of (got) == length;

  for (size_t i = 0; same && i < length; i += 2)
    same = has_pair (got, expected[i], expected[i + 1]);
  expected_texts (g, got, expected, same);
}

void
matches_number (guestfs_h *g, int64_t got, const char *pattern, bool lines)
{
  char text[32];

  snprintf (text, sizeof text, "%" PRIi64, got);
  matches_kept_text (g, text, pattern, lines);
}

void
matches_kept_text (guestfs_h *g, const char *got, const char *pattern, bool lines)
{
  regex_t regex;

  if (got == NULL) {
    failed ("expected a match of %s, got the error: %s", pattern, error_of (g));
    return;
  }
  if (regcomp (&regex, pattern, REG_EXTENDED | REG_NOSUB | (lines ? REG_NEWLINE : 0)) != 0)
    broken (pattern);
  if (regexec (&regex, got, 0, NULL, 0) != 0)
    failed ("expected a match of %s, got \"%s\"", pattern, got);
  regfree (&regex);
}

void
matches_text (guestfs_h *g, char *got, const char *pattern, bool lines)
{
  matches_kept_text (g, got, pattern, lines);
  free (got);
}

void
matches_bytes (guestfs_h *g, char *got, const char *pattern, bool lines)
{
  char *text = got == NULL ? NULL : keep (calloc (size + 1, 1));

  if (text != NULL)
    memcpy (text, got, size);
  matches_kept_text (g, text, pattern, lines);
  free (got);
}

void
matches_texts (guestfs_h *g, char **got, const char *pattern, bool lines)
{
  matches_kept_text (g, got == NULL ? NULL : joined (got), pattern, lines);
  free_texts (got);
}

void
matches_hash (guestfs_h *g, char **got, const char *pattern, bool lines)
{
  char *text = NULL;
  size_t length;
  FILE *file;

  if (got != NULL) {
    file = open_memstream (&text, &length);
    for (size_t i = 0; got[i] != NULL; i += 2)
      fprintf (file, "%s\"%s\": \"%s\"", i == 0 ? "{" : ", ", got[i], got[i + 1]);
    fputs ("}", file);
    fclose (file);
  }
  matches_kept_text (g, text, pattern, lines);
  free (text);
  free_texts (got);
}

void
field_number (const char *name, int64_t got, int64_t expected)
{
  if (got != expected)
    failed ("%s: expected %" PRIi64 ", got %" PRIi64, name, expected, got);
}

void
field_text (const char *name, const char *got, const char *expected)
{
  if (got == NULL || strcmp (got, expected) != 0)
    failed ("%s: expected \"%s\", got \"%s\"", name, expected, got ? got : "(null)");
}

void
field_bytes (const char *name, const char *got, size_t got_size,
             const char *expected, size_t expected_size)
{
  if (got_size != expected_size || memcmp (got, expected, expected_size) != 0)
    failed ("%s: expected %zu bytes \"%s\", got %zu bytes \"%.*s\"", name,
            expected_size, expected, got_size, (int) got_size, got);
}

bool
has_length (size_t got, size_t expected)
{
  if (got != expected)
    failed ("expected a list of %zu, got one of %zu", expected, got);
  return got == expected;
}

void
fails (guestfs_h *g, bool has_failed, int expected_errno, const char *says)
{
  if (!has_failed)
    failed ("expected the error %s with \"%s\", got none",
            strerrorname_np (expected_errno), says);
  else if (guestfs_last_errno (g) != expected_errno || strstr (error_of (g), says) == NULL)
    failed ("expected the error %s with \"%s\", got %s with \"%s\"",
            strerrorname_np (expected_errno), says,
            strerrorname_np (guestfs_last_errno (g)), error_of (g));
}

void
wrote (const char *expected, size_t expected_size)
{
  FILE *file = fopen (OUTPUT, "r");
  char *content = keep (malloc (expected_size + 1));
  size_t n;

  if (file == NULL) {
    failed ("nothing was written");
    return;
  }
  n = fread (content, 1, expected_size + 1, file);
  fclose (file);
  field_bytes (OUTPUT, content, n, expected, expected_size);
}
