/*
 * parser.h - llhttp behind the guard: the only file, with parser.c, that includes <llhttp.h>.
 */
#ifndef SHS_PARSER_H
#define SHS_PARSER_H

#include <llhttp.h>

#include "http/message.h"

struct shs_parser {
    llhttp_t llhttp;
};

#endif
