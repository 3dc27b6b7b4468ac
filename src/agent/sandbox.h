/*
 * What the worker may ask of the kernel: a list of system calls, and of some only certain arguments (seccomp(2)). It
 * reads bytes from everywhere in the network; should one of them ever get the better of it, it can neither start a
 * program, nor open a raw or packet socket, nor look into another process, nor make memory executable.
 *
 * Calls that would only be made with bad intent end the process (SIGSYS); whatever else is not on the list fails with
 * EPERM, so that a library that tries something new goes another way. Strict, which the checks use, ends the process
 * there, too, so that the list is known to be complete.
 */
#ifndef OCULI_AGENT_SANDBOX_H
#define OCULI_AGENT_SANDBOX_H

#include "base/error.h"

/* A sanitizer maps terabytes and starts threads and programs of its own: limits are not for it. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANDBOX_HAS_SANITIZER 1
#endif
#endif
#ifndef SANDBOX_HAS_SANITIZER
#define SANDBOX_HAS_SANITIZER 0
#endif

enum sandbox_mode { SANDBOX_ON, SANDBOX_STRICT, SANDBOX_OFF };

/* For the calling process and all it will ever make: to be called while it has one thread. A kernel without seccomp is
 * -E_NOT_SUPPORTED. Does nothing in builds with a sanitizer, which needs more than any list allows. */
int sandbox_enter(enum sandbox_mode mode, struct error *err);

#endif
