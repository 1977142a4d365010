/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies a disk out of an image, shows how far that has come, and stops it on Ctrl-C.
 *
 *   ./events disk.qcow2 disk.raw
 */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <guestfs.h>

static guestfs_h *g;

/* guestfs_user_cancel may be called from a signal handler. */
static void
interrupt (int signal)
{
  (void) signal;
  guestfs_user_cancel (g);
}

static void
on_event (guestfs_h *handle, void *opaque, uint64_t event, int event_handle, int flags,
          const char *buf, size_t buf_len, const uint64_t *array, size_t array_len)
{
  FILE *log = opaque;

  (void) handle;
  (void) event_handle;
  (void) flags;

  switch (event) {
  case GUESTFS_EVENT_PROGRESS:
    /* Number of the function, number of the call, position, total. */
    if (array_len >= 4 && array[3] > 0)
      fprintf (stderr, "\r%3" PRIu64 " %%", array[2] * 100 / array[3]);
    break;
  case GUESTFS_EVENT_LAUNCH_DONE:
    fprintf (stderr, "\rready\n");
    break;
  default:
    /* Text, which may hold any byte and has no line end of its own where it is a trace. */
    fwrite (buf, 1, buf_len, log);
    fputc ('\n', log);
  }
}

int
main (int argc, char *argv[])
{
  struct sigaction action;
  FILE *log;

  if (argc != 3) {
    fprintf (stderr, "usage: %s DISK COPY\n", argv[0]);
    exit (EXIT_FAILURE);
  }
  log = fopen ("events.log", "w");
  if (log == NULL) {
    perror ("events.log");
    exit (EXIT_FAILURE);
  }

  g = guestfs_create ();
  if (g == NULL) {
    perror ("guestfs_create");
    exit (EXIT_FAILURE);
  }
  if (guestfs_set_event_callback (g, on_event,
                                  GUESTFS_EVENT_PROGRESS | GUESTFS_EVENT_LAUNCH_DONE
                                  | GUESTFS_EVENT_TRACE | GUESTFS_EVENT_WARNING,
                                  0, log) == -1)
    exit (EXIT_FAILURE);
  if (guestfs_set_trace (g, 1) == -1)
    exit (EXIT_FAILURE);

  /* qemu must not see the Ctrl-C that is meant for the transfer. */
  if (guestfs_set_pgroup (g, 1) == -1)
    exit (EXIT_FAILURE);
  memset (&action, 0, sizeof action);
  action.sa_handler = interrupt;
  action.sa_flags = SA_RESTART;
  sigaction (SIGINT, &action, NULL);

  if (guestfs_add_drive_ro (g, argv[1]) == -1)
    exit (EXIT_FAILURE);
  if (guestfs_launch (g) == -1)
    exit (EXIT_FAILURE);
  if (guestfs_download (g, "/dev/sda", argv[2]) == -1) {
    if (guestfs_last_errno (g) == EINTR)
      fprintf (stderr, "stopped; the copy is not complete\n");
    exit (EXIT_FAILURE);
  }
  fprintf (stderr, "\n");

  guestfs_close (g);
  fclose (log);
  exit (EXIT_SUCCESS);
}
