/*
 * shs/version.h - which libshs this is.
 *
 * The numbers are those of the header you compile against; shs_version() is the one of the library
 * that is loaded. They may differ when a program runs with a newer shared library.
 */
#ifndef SHS_VERSION_H
#define SHS_VERSION_H

#include <shs/error.h>

#define SHS_VERSION_MAJOR 0
#define SHS_VERSION_MINOR 2
#define SHS_VERSION_PATCH 0
#define SHS_VERSION_STRING "0.2.0"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The version of the loaded library, as "0.2.0". Static storage, never NULL.
 * Safe from any thread.
 */
SHS_API const char *shs_version(void);

#ifdef __cplusplus
}
#endif

#endif
