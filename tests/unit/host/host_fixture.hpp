// What tests of the host need: a host that finds the test plugins, and a compute that does nothing.
#pragma once

#include "host/generator/generator.hpp"
#include "host/plugin/scan.hpp"
#include "host/plugin/services.hpp"
#include "host/run/player.hpp"

#include <tessera/compute.h>

#include <filesystem>
#include <memory>
#include <string>

namespace tessera::test {

inline std::filesystem::path plugin_path(const std::string &name) {
    return std::filesystem::path(TESSERA_TEST_PLUGINS) / (name + ".so");
}

inline std::shared_ptr<Host> make_host() {
    HostConfig config;
    config.program = "test";
    config.plugin_dirs = {TESSERA_TEST_PLUGINS};
    return Host::create(config);
}

// The test plugins compute nothing: all that is asked of it is to synchronize.
inline std::shared_ptr<const tessera_compute> null_compute() {
    static constexpr tessera_compute_info kInfo{sizeof(tessera_compute_info), TESSERA_MEMORY_HOST,
                                                "null", "nothing"};
    auto compute = std::make_shared<tessera_compute>();
    compute->info = &kInfo;
    compute->synchronize = [](const tessera_compute *) -> tessera_status { return TESSERA_OK; };
    return compute;
}

inline SessionConfig session_config(const std::string &plugin) {
    SessionConfig config;
    config.plugin = plugin;
    config.threads = 1;
    config.compute = null_compute();
    config.host = make_host();
    return config;
}

inline PlayerConfig player_config(const std::string &plugin) { return {session_config(plugin)}; }

inline Result<std::unique_ptr<Generator>> make_generator(const std::shared_ptr<Host> &host,
                                                         const std::string &id) {
    auto found = find_generator(*host, id);
    if (!found) return found.error();
    return Generator::create(host, *found, "");
}

} // namespace tessera::test
