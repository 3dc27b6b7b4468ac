/*
 * Shared by the two halves of the scenario reader: statements (scenario.c) and the attributes of nodes and links
 * (attribute.c).
 */
#ifndef OCULI_LAB_READER_H
#define OCULI_LAB_READER_H

#include "lab/lex.h"
#include "lab/model.h"

struct lab_reader {
    struct lab_scenario *s;
    struct lab_lex lex;
    struct error *err;
    uint32_t fault; /* inside the block of this fault, or LAB_NONE */
    unsigned depth; /* of includes */
    bool may_include;
    struct lab_node defaults[LAB_BLOCK + 1]; /* by kind; what `defaults` statements set */
    struct lab_link link_defaults;
};

#define lab_reader_fail(r, code, ...) lab_lex_fail(&(r)->lex, (r)->err, code, __VA_ARGS__)

/* Read the rest of the statement as attributes. */
int lab_attribute_node(struct lab_reader *r, struct lab_node *node);
int lab_attribute_link(struct lab_reader *r, struct lab_link *link);

/* Read one attribute as what the current fault does to every port of the list. */
int lab_attribute_node_effect(struct lab_reader *r, struct lab_node *node);
int lab_attribute_link_effect(struct lab_reader *r, struct lab_link **links, size_t count);

/* Middleboxes (box_read.c): an attribute of a router, unless it is none of these, and two statements. */
int lab_box_attribute(struct lab_reader *r, const char *word, struct lab_box *box, bool *ret_is_known);
int lab_box_read_nat(struct lab_reader *r, const char *word);
int lab_box_read_proxy(struct lab_reader *r, const char *word);

/* Take a word that names something that exists. */
int lab_reader_node(struct lab_reader *r, const char *what, uint32_t *ret_node);
int lab_reader_prefix(struct lab_reader *r, const char *what, struct lab_prefix *ret_prefix);

/* "80", "80-90" or "80,90-99,443" into ranges appended to a list. */
int lab_reader_ports(struct lab_reader *r, enum lab_port_state state, const char *ports, struct lab_ports **list);
int lab_reader_port_range(struct lab_reader *r, const char *text, uint16_t *ret_low, uint16_t *ret_high);

#endif
