/* The application: captures, classifies, decides, shows, and talks; in steps that never wait. */
#ifndef APPLICATION_H
#define APPLICATION_H

#ifdef __cplusplus
extern "C" {
#endif

/* Begins with the tests of the start. */
void application_begin(void);

/* Does the next piece of work; to be called for ever. Takes as long as one row of the camera or one inference. */
void application_step(void);

#ifdef __cplusplus
}
#endif

#endif
