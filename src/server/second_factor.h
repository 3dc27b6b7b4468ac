/*
 * The second factor of people who sign in with a password: codes by time (totp.h), and recovery codes for who lost the
 * device. Its key is kept sealed, the recovery codes as hashes; each is told once and each code works once.
 */
#ifndef OCULI_SERVER_SECOND_FACTOR_H
#define OCULI_SERVER_SECOND_FACTOR_H

#include "server/request.h"

#define SECOND_FACTOR_PURPOSE "totp"
#define SECOND_FACTOR_RECOVERY_CODES 10u

enum second_factor {
    SECOND_FACTOR_RIGHT,
    SECOND_FACTOR_WRONG,
    SECOND_FACTOR_ANSWERED /* none was given, or it is too early: the request is answered */
};

/* Looks at a code of a user who has a second factor. Wrong ones in a row make the next wait, ever longer. What came of
 * it is stored, and user brought up to date. */
int second_factor_check(struct request *request, struct object_user *user, const char *code,
                        enum second_factor *ret_result, struct error *err);

#endif
