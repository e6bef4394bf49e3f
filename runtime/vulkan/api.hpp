// Vulkan as the project includes it: volk's function pointers, under names of their own.
// Device functions are called through a VulkanDevice's table, never through volk's globals: several
// devices may live in one process.
#pragma once

#ifndef VK_NO_PROTOTYPES
#define VK_NO_PROTOTYPES
#endif
#include <vulkan/vulkan.h>

#include <volk_names.h>

#include <volk.h>
