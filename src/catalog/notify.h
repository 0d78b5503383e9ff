/*
 * notify.h
 *		How the catalog tells the processes, which it must not know, that a
 *		definition has changed.
 */
#ifndef DPIPE_NOTIFY_H
#define DPIPE_NOTIFY_H

/* Set by the library's entry point. Called inside the changing transaction. */
extern void (*dpipe_definition_changed_hook) (void);

extern void dpipe_definition_changed(void);

#endif							/* DPIPE_NOTIFY_H */
