/* The commands of the PC, line by line: firmware/PROTOCOL.md. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "detector.h"
#include "line.h"

/* Reads what has come over the serial line, and has the detector do what whole lines ask for; reads nothing while it
 * does not accept commands. */
void commands_poll(line *in, detector *self);

#endif
