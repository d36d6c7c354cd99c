/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Actors on the second guest.
 *
 * There the program is an agent, which forks an actor for every connection.  Here a small process
 * carries the steps and answers of one actor to and fro; it stands for the actor, and its end is
 * the actor's end.  Descriptors cannot be passed.
 */
#ifndef PINV_TEST_REMOTE_H
#define PINV_TEST_REMOTE_H

#include "actor.h"

/* Serves actors until the other guest has hung up for good; 0, or the status of a failure. */
int remote_agent(void);

/* Tells the agent that this guest is there; it ends when this process does.  0 or -errno. */
int remote_attach(const char *peer);

struct actor *actor_start_remote(const char *name, const char *peer);

#endif
