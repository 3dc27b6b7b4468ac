/*
 * The web UI: static files from a directory. Precompressed copies (x.js.gz) are sent where the browser takes them;
 * files whose names carry a hash never change; every other path that is no file is the page itself, whose router shows
 * it. Nothing outside the directory is ever opened.
 */
#ifndef OCULI_SERVER_STATIC_H
#define OCULI_SERVER_STATIC_H

#include <stdbool.h>

struct request;

/* false when there is no web directory or the path is none of its. */
bool static_serve(struct request *request);

#endif
