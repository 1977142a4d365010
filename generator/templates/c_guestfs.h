/* {{ notice }} */
/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* guestfs(3): opens, inspects and changes virtual machine disk images. */

#ifndef GUESTFS_H_
#define GUESTFS_H_

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Define before including this file:
 *
 * GUESTFS_NO_WARN_DEPRECATED  to use deprecated functions without a warning,
 * GUESTFS_NO_DEPRECATED       to have no deprecated functions at all,
 * GUESTFS_PRIVATE             to have functions that are not for users.
 */

#if defined (__GNUC__) && !defined (GUESTFS_GCC_VERSION)
#define GUESTFS_GCC_VERSION \
  (__GNUC__ * 10000 + __GNUC_MINOR__ * 100 + __GNUC_PATCHLEVEL__)
#endif

#ifndef GUESTFS_DLL_PUBLIC
#if defined (GUESTFS_GCC_VERSION) && GUESTFS_GCC_VERSION >= 40000
#define GUESTFS_DLL_PUBLIC __attribute__ ((visibility ("default")))
#else
#define GUESTFS_DLL_PUBLIC
#endif
#endif

#ifndef GUESTFS_NORETURN
#ifdef GUESTFS_GCC_VERSION
#define GUESTFS_NORETURN __attribute__ ((noreturn))
#else
#define GUESTFS_NORETURN
#endif
#endif

#if !defined (GUESTFS_NO_WARN_DEPRECATED) \
  && defined (GUESTFS_GCC_VERSION) && GUESTFS_GCC_VERSION >= 40500
#define GUESTFS_DEPRECATED_NO_REPLACEMENT \
  __attribute__ ((deprecated ("there is no replacement")))
#define GUESTFS_DEPRECATED_REPLACED_BY(name) \
  __attribute__ ((deprecated ("use guestfs_" name)))
#else
#define GUESTFS_DEPRECATED_NO_REPLACEMENT
#define GUESTFS_DEPRECATED_REPLACED_BY(name)
#endif

/* Handles. */

#ifndef GUESTFS_TYPEDEF_H
#define GUESTFS_TYPEDEF_H 1
typedef struct guestfs_h guestfs_h;
#endif

#define GUESTFS_CREATE_NO_ENVIRONMENT   1
#define GUESTFS_CREATE_NO_CLOSE_ON_EXIT 2

extern GUESTFS_DLL_PUBLIC guestfs_h *guestfs_create (void);
#define GUESTFS_HAVE_CREATE_FLAGS 1
extern GUESTFS_DLL_PUBLIC guestfs_h *guestfs_create_flags (unsigned flags, ...);
extern GUESTFS_DLL_PUBLIC void guestfs_close (guestfs_h *g);

/* Errors.  The text is the handle's: it stays until the next error. */

extern GUESTFS_DLL_PUBLIC const char *guestfs_last_error (guestfs_h *g);
#define GUESTFS_HAVE_LAST_ERRNO 1
extern GUESTFS_DLL_PUBLIC int guestfs_last_errno (guestfs_h *g);

#ifndef GUESTFS_TYPEDEF_ERROR_HANDLER_CB
#define GUESTFS_TYPEDEF_ERROR_HANDLER_CB 1
typedef void (*guestfs_error_handler_cb) (guestfs_h *g, void *opaque, const char *msg);
#endif

#ifndef GUESTFS_TYPEDEF_ABORT_CB
#define GUESTFS_TYPEDEF_ABORT_CB 1
typedef void (*guestfs_abort_cb) (void) GUESTFS_NORETURN;
#endif

extern GUESTFS_DLL_PUBLIC void guestfs_set_error_handler (guestfs_h *g, guestfs_error_handler_cb cb, void *opaque);
extern GUESTFS_DLL_PUBLIC guestfs_error_handler_cb guestfs_get_error_handler (guestfs_h *g, void **opaque_rtn);
#define GUESTFS_HAVE_PUSH_ERROR_HANDLER 1
extern GUESTFS_DLL_PUBLIC void guestfs_push_error_handler (guestfs_h *g, guestfs_error_handler_cb cb, void *opaque);
#define GUESTFS_HAVE_POP_ERROR_HANDLER 1
extern GUESTFS_DLL_PUBLIC void guestfs_pop_error_handler (guestfs_h *g);
extern GUESTFS_DLL_PUBLIC void guestfs_set_out_of_memory_handler (guestfs_h *g, guestfs_abort_cb cb);
extern GUESTFS_DLL_PUBLIC guestfs_abort_cb guestfs_get_out_of_memory_handler (guestfs_h *g);

/* Events. */

{% for event in events %}#define {{ event.macro_name }} UINT64_C ({{ event.value }})
{% endfor %}#define GUESTFS_EVENT_ALL UINT64_C ({{ all_events }})

#ifndef GUESTFS_TYPEDEF_EVENT_CALLBACK
#define GUESTFS_TYPEDEF_EVENT_CALLBACK 1
typedef void (*guestfs_event_callback) (guestfs_h *g, void *opaque,
                                        uint64_t event, int event_handle, int flags,
                                        const char *buf, size_t buf_len,
                                        const uint64_t *array, size_t array_len);
#endif

#define GUESTFS_HAVE_SET_EVENT_CALLBACK 1
extern GUESTFS_DLL_PUBLIC int guestfs_set_event_callback (guestfs_h *g, guestfs_event_callback cb, uint64_t event_bitmask, int flags, void *opaque);
#define GUESTFS_HAVE_DELETE_EVENT_CALLBACK 1
extern GUESTFS_DLL_PUBLIC void guestfs_delete_event_callback (guestfs_h *g, int event_handle);
#define GUESTFS_HAVE_EVENT_TO_STRING 1
extern GUESTFS_DLL_PUBLIC char *guestfs_event_to_string (uint64_t event);

/* Events as they were before guestfs_set_event_callback: one callback a kind. */

#ifndef GUESTFS_TYPEDEF_LOG_MESSAGE_CB
#define GUESTFS_TYPEDEF_LOG_MESSAGE_CB 1
typedef void (*guestfs_log_message_cb) (guestfs_h *g, void *opaque, char *buf, int len);
#endif

#ifndef GUESTFS_TYPEDEF_SUBPROCESS_QUIT_CB
#define GUESTFS_TYPEDEF_SUBPROCESS_QUIT_CB 1
typedef void (*guestfs_subprocess_quit_cb) (guestfs_h *g, void *opaque);
#endif

#ifndef GUESTFS_TYPEDEF_LAUNCH_DONE_CB
#define GUESTFS_TYPEDEF_LAUNCH_DONE_CB 1
typedef void (*guestfs_launch_done_cb) (guestfs_h *g, void *opaque);
#endif

#ifndef GUESTFS_TYPEDEF_CLOSE_CB
#define GUESTFS_TYPEDEF_CLOSE_CB 1
typedef void (*guestfs_close_cb) (guestfs_h *g, void *opaque);
#endif

#ifndef GUESTFS_TYPEDEF_PROGRESS_CB
#define GUESTFS_TYPEDEF_PROGRESS_CB 1
typedef void (*guestfs_progress_cb) (guestfs_h *g, void *opaque, int proc_nr, int serial, uint64_t position, uint64_t total);
#endif

#define GUESTFS_HAVE_SET_CLOSE_CALLBACK 1
#define GUESTFS_HAVE_SET_PROGRESS_CALLBACK 1
#ifndef GUESTFS_NO_DEPRECATED
extern GUESTFS_DLL_PUBLIC void guestfs_set_log_message_callback (guestfs_h *g, guestfs_log_message_cb cb, void *opaque)
  GUESTFS_DEPRECATED_REPLACED_BY ("set_event_callback");
extern GUESTFS_DLL_PUBLIC void guestfs_set_subprocess_quit_callback (guestfs_h *g, guestfs_subprocess_quit_cb cb, void *opaque)
  GUESTFS_DEPRECATED_REPLACED_BY ("set_event_callback");
extern GUESTFS_DLL_PUBLIC void guestfs_set_launch_done_callback (guestfs_h *g, guestfs_launch_done_cb cb, void *opaque)
  GUESTFS_DEPRECATED_REPLACED_BY ("set_event_callback");
extern GUESTFS_DLL_PUBLIC void guestfs_set_close_callback (guestfs_h *g, guestfs_close_cb cb, void *opaque)
  GUESTFS_DEPRECATED_REPLACED_BY ("set_event_callback");
extern GUESTFS_DLL_PUBLIC void guestfs_set_progress_callback (guestfs_h *g, guestfs_progress_cb cb, void *opaque)
  GUESTFS_DEPRECATED_REPLACED_BY ("set_event_callback");
#endif

/* Private data: what a program hangs on a handle under names of its own. */

#define GUESTFS_HAVE_SET_PRIVATE 1
extern GUESTFS_DLL_PUBLIC void guestfs_set_private (guestfs_h *g, const char *key, void *data);
#define GUESTFS_HAVE_GET_PRIVATE 1
extern GUESTFS_DLL_PUBLIC void *guestfs_get_private (guestfs_h *g, const char *key);
#define GUESTFS_HAVE_FIRST_PRIVATE 1
extern GUESTFS_DLL_PUBLIC void *guestfs_first_private (guestfs_h *g, const char **key_rtn);
#define GUESTFS_HAVE_NEXT_PRIVATE 1
extern GUESTFS_DLL_PUBLIC void *guestfs_next_private (guestfs_h *g, const char **key_rtn);

/* Structures. */
{% for struct in structs %}
{% if struct.private %}#ifdef GUESTFS_PRIVATE
{% endif %}/* {{ struct.doc }} */
#define GUESTFS_HAVE_STRUCT_{{ struct.macro_name }} 1

struct guestfs_{{ struct.name }} {
{% for field in struct.fields %}  {{ field.c }};
{% endfor %}};

struct guestfs_{{ struct.name }}_list {
  uint32_t len;
  struct guestfs_{{ struct.name }} *val;
};

extern GUESTFS_DLL_PUBLIC int guestfs_compare_{{ struct.name }} (const struct guestfs_{{ struct.name }} *a, const struct guestfs_{{ struct.name }} *b);
extern GUESTFS_DLL_PUBLIC int guestfs_compare_{{ struct.name }}_list (const struct guestfs_{{ struct.name }}_list *a, const struct guestfs_{{ struct.name }}_list *b);
extern GUESTFS_DLL_PUBLIC struct guestfs_{{ struct.name }} *guestfs_copy_{{ struct.name }} (const struct guestfs_{{ struct.name }} *it);
extern GUESTFS_DLL_PUBLIC struct guestfs_{{ struct.name }}_list *guestfs_copy_{{ struct.name }}_list (const struct guestfs_{{ struct.name }}_list *it);
extern GUESTFS_DLL_PUBLIC void guestfs_free_{{ struct.name }} (struct guestfs_{{ struct.name }} *it);
extern GUESTFS_DLL_PUBLIC void guestfs_free_{{ struct.name }}_list (struct guestfs_{{ struct.name }}_list *it);
{% if struct.private %}#endif
{% endif %}{% endfor %}
/* Each of these macros says that the library has the function. */

{% for group in groups %}{% for function in group.functions %}{% for name in function.have %}#define GUESTFS_HAVE_{{ name }} 1
{% endfor %}{% endfor %}{% endfor %}
/* The same in the spelling of before 1.19. */

#define LIBGUESTFS_HAVE_CREATE_FLAGS 1
#define LIBGUESTFS_HAVE_DELETE_EVENT_CALLBACK 1
#define LIBGUESTFS_HAVE_FIRST_PRIVATE 1
#define LIBGUESTFS_HAVE_GET_PRIVATE 1
#define LIBGUESTFS_HAVE_LAST_ERRNO 1
#define LIBGUESTFS_HAVE_NEXT_PRIVATE 1
#define LIBGUESTFS_HAVE_POP_ERROR_HANDLER 1
#define LIBGUESTFS_HAVE_PUSH_ERROR_HANDLER 1
#define LIBGUESTFS_HAVE_SET_CLOSE_CALLBACK 1
#define LIBGUESTFS_HAVE_SET_EVENT_CALLBACK 1
#define LIBGUESTFS_HAVE_SET_PRIVATE 1
#define LIBGUESTFS_HAVE_SET_PROGRESS_CALLBACK 1
{% for group in groups %}{% for function in group.functions %}{% for name in function.have %}#define LIBGUESTFS_HAVE_{{ name }} 1
{% endfor %}{% endfor %}{% endfor %}{% for group in groups %}
/* {{ group.title }} */
{% for function in group.functions %}
{% if function.private %}#ifdef GUESTFS_PRIVATE
{% endif %}{% if function.deprecated %}#ifndef GUESTFS_NO_DEPRECATED
{% endif %}{% if function.options %}{% for field in function.options.fields %}#define {{ function.options.prefix }}_{{ field.macro_name }} {{ field.index }}
#define {{ function.options.prefix }}_{{ field.macro_name }}_BITMASK (UINT64_C (1) << {{ field.index }})
{% endfor %}struct guestfs_{{ function.options.symbol }}_argv {
  uint64_t bitmask;
{% for field in function.options.fields %}  {{ field.c }};
{% endfor %}};
{% endif %}{% for line in function.declarations %}extern GUESTFS_DLL_PUBLIC {% if function.deprecated %}{{ line }}
  {{ function.deprecated }};
{% else %}{{ line }};
{% endif %}{% endfor %}{% if function.deprecated %}#endif
{% endif %}{% if function.private %}#endif
{% endif %}{% endfor %}{% endfor %}
#ifdef __cplusplus
}
#endif

#endif /* GUESTFS_H_ */
