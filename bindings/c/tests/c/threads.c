/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Errors are the business of the thread that has them: their texts, their numbers, and the
 * handlers that are told.
 */

#include <pthread.h>

#include <guestfs.h>

#include "check.h"

#define THREADS 8
#define ROUNDS 200

static guestfs_h *g;
static pthread_barrier_t barrier;

struct reported {
  pthread_t thread;
  char name[32];
  char expected[128];
  int count;
};

static void
on_error (guestfs_h *handle, void *opaque, const char *text)
{
  struct reported *reported = opaque;

  CHECK (handle == g);
  CHECK (pthread_equal (pthread_self (), reported->thread));
  CHECK_TEXT (text, reported->expected);
  reported->count++;
}

static void *
fail (void *opaque)
{
  struct reported *reported = opaque;
  const char *text;
  void *of_handler;

  /* A new thread knows nothing, and has the handler of a new handle. */
  CHECK (guestfs_last_error (g) == NULL);
  CHECK (guestfs_last_errno (g) == 0);
  CHECK (guestfs_get_error_handler (g, &of_handler) != on_error && of_handler == NULL);

  reported->thread = pthread_self ();
  guestfs_push_error_handler (g, on_error, reported);
  for (int i = 0; i < ROUNDS; i++) {
    CHECK (guestfs_disk_virtual_size (g, reported->name) == -1);
    text = guestfs_last_error (g);
    /* All threads have one now, and each text is still there. */
    pthread_barrier_wait (&barrier);
    CHECK_TEXT (text, reported->expected);
    CHECK (guestfs_last_error (g) == text);
    CHECK (guestfs_last_errno (g) == ENOENT);
  }
  CHECK (reported->count == ROUNDS);
  return NULL;
}

int
main (void)
{
  struct reported reported[THREADS] = { 0 }, own = { .thread = pthread_self () };
  pthread_t threads[THREADS];
  const char *text;

  g = guestfs_create ();
  if (g == NULL)
    return EXIT_FAILURE;
  guestfs_set_error_handler (g, on_error, &own);
  strcpy (own.expected, "cat: call launch before using this function");
  CHECK (guestfs_cat (g, "/x") == NULL);
  text = guestfs_last_error (g);

  pthread_barrier_init (&barrier, NULL, THREADS);
  for (int i = 0; i < THREADS; i++) {
    snprintf (reported[i].name, sizeof reported[i].name, "missing%d", i);
    snprintf (reported[i].expected, sizeof reported[i].expected,
              "disk_virtual_size: missing%d: No such file or directory", i);
    if (pthread_create (&threads[i], NULL, fail, &reported[i]) != 0)
      return EXIT_FAILURE;
  }
  for (int i = 0; i < THREADS; i++)
    pthread_join (threads[i], NULL);

  CHECK_TEXT (text, own.expected);
  CHECK (guestfs_last_error (g) == text);
  CHECK (guestfs_last_errno (g) == EINVAL);
  CHECK (own.count == 1);
  guestfs_close (g);
  if (failures == 0)
    puts ("ok");
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
