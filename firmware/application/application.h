/* The application: it captures and classifies images, shows the verdict on the light and answers commands. No step
 * waits. */
#ifndef APPLICATION_H
#define APPLICATION_H

#ifdef __cplusplus
extern "C" {
#endif

/* Starts the self-test. Call it once. */
void application_begin(void);

/* Does the next piece of work: at most one row of the camera, or one inference. Call it in a loop. */
void application_step(void);

#ifdef __cplusplus
}
#endif

#endif
