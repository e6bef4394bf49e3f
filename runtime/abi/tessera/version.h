/* Version of Tessera and of its plugin ABI; CMake reads the project version from here. */
#ifndef TESSERA_VERSION_H
#define TESSERA_VERSION_H

#define TESSERA_VERSION_MAJOR 0
#define TESSERA_VERSION_MINOR 2
#define TESSERA_VERSION_PATCH 0

/* Stored by plugins at build time. While the major is 0, host and plugin must be equal in major and
 * minor; from 1.0 on, equal majors load. */
#define TESSERA_ABI_VERSION ((TESSERA_VERSION_MAJOR << 16) | TESSERA_VERSION_MINOR)

#endif
