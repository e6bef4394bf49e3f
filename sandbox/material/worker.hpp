// The maps of what the view shows, made next to the frame loop: a thread of low priority with a
// Vulkan device of its own, so that neither planning nor a slow device holds up a frame. What is
// asked for replaces what was asked for before; exports are all done. The functions are the control
// thread's.
#pragma once

#include "core/frame_target.hpp"
#include "host/edit/run_history.hpp"
#include "sandbox/material/maker.hpp"
#include "sandbox/material/options.hpp"

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace tessera {

// Which map of which picture.
struct MaterialRequest {
    MaterialMap map = MaterialMap::kColour;
    MaterialSettings settings;
    std::shared_ptr<const Image> picture;
    std::shared_ptr<const Latents> latents; // for kLatents
    int channel = 0;                        // of the latents
    FrameInfo info;                         // of the picture

    [[nodiscard]] bool same_as(const MaterialRequest &other) const;
};

// What is known of the newest request that was dealt with.
struct MaterialResult {
    std::shared_ptr<const Image> picture; // nullptr: none yet, or it failed
    FrameInfo info;
    std::string error; // empty: all is well
};

class MaterialWorker {
  public:
    // As MaterialMaker.
    MaterialWorker(const VulkanInstance &instance, std::string device_name,
                   std::filesystem::path cache_folder);
    ~MaterialWorker();
    MaterialWorker(const MaterialWorker &) = delete;
    MaterialWorker &operator=(const MaterialWorker &) = delete;

    // Never waits; the same request again is none.
    void want(const MaterialRequest &request);
    // `material` as in export.hpp.
    void export_to(std::filesystem::path folder, std::string name, std::string material,
                   std::shared_ptr<const Image> picture, const MaterialOptions &options);

    [[nodiscard]] MaterialResult newest() const;
    [[nodiscard]] bool busy() const;
    // Makes what a size needs for the first time: plans, shaders.
    [[nodiscard]] bool preparing() const;
    // Of the last export: "12 files in ...", or what went wrong; empty: none has ended.
    [[nodiscard]] std::string export_report() const;
    [[nodiscard]] std::uint64_t exports_failed() const;

  private:
    struct Export {
        std::filesystem::path folder;
        std::string name;
        std::string material;
        std::shared_ptr<const Image> picture;
        MaterialOptions options;
    };
    void work();
    Result<std::shared_ptr<const MaterialMaps>> maps_of(const std::shared_ptr<const Image> &picture,
                                                        const MaterialSettings &settings);
    Result<Image> make(const MaterialRequest &request);
    Result<Image> make_latents(const MaterialRequest &request);
    Result<std::string> make(const Export &wanted);

    // Only the worker's.
    MaterialMaker maker_;
    std::shared_ptr<const Image> mapped_; // the maps below are of
    MaterialSettings mapped_settings_;
    std::shared_ptr<const MaterialMaps> maps_;

    mutable std::mutex mutex_; // for all that follows
    std::condition_variable news_;
    std::optional<MaterialRequest> wanted_; // the last one
    bool wanted_is_new_ = false;
    std::deque<Export> exports_;
    MaterialResult newest_;
    std::string export_report_;
    std::uint64_t exports_failed_ = 0;
    bool working_ = false;
    bool prepared_ = false; // something was made
    bool stop_ = false;
    std::thread thread_;
};

} // namespace tessera
