#include "host/plugin/library.hpp"

#include "core/log.hpp"
#include "host/plugin/elf_file.hpp"
#include "host/plugin/plugin_text.hpp"

#include <system_error>
#include <utility>

#include <dlfcn.h>
#include <sys/stat.h>

namespace tessera {
namespace {

constexpr std::string_view kSource = "library";
constexpr std::uint32_t kMaxGenerators = 256; // of one library; more is a mistake

std::string linker_message() {
    const char *const message = ::dlerror();
    return message != nullptr ? message : "the dynamic linker gives no reason";
}

std::string version_text(std::uint32_t abi_version) {
    return fmt::format("{}.{}", abi_version >> 16, abi_version & 0xffff);
}

// While the major is 0, host and plugin must be equal; later equal majors load.
bool is_abi_compatible(std::uint32_t version) {
    if (TESSERA_VERSION_MAJOR == 0) return version == TESSERA_ABI_VERSION;
    return version >> 16 == TESSERA_VERSION_MAJOR;
}

} // namespace

Result<Descriptor> read_descriptor(const tessera_descriptor *descriptor) {
    if (descriptor == nullptr) {
        return make_error(Status::kInvalidArgument, "its descriptor is NULL");
    }
    const tessera_descriptor local = read_growable(descriptor);
    const std::pair<const char *, const char *> required[] = {{"id", local.id},
                                                              {"name", local.name},
                                                              {"vendor", local.vendor},
                                                              {"version", local.version}};
    for (const auto &[member, text] : required) {
        if (text == nullptr || *text == '\0') {
            return make_error(Status::kInvalidArgument, "its descriptor has no {}", member);
        }
    }
    return Descriptor{copy_text(local.id), copy_text(local.name), copy_text(local.vendor),
                      copy_text(local.version), copy_text(local.description)};
}

FileState FileState::of(const std::filesystem::path &path) {
    struct stat file {};
    if (::stat(path.c_str(), &file) != 0) return {};
    return {file.st_dev, file.st_ino, static_cast<std::uint64_t>(file.st_size),
            file.st_mtim.tv_sec * 1'000'000'000 + file.st_mtim.tv_nsec};
}

Library::Library(std::filesystem::path path, const FileState &state, PrivateCopy loaded,
                 void *handle, std::shared_ptr<const void> host_lifetime)
    : path_(std::move(path)), state_(state), loaded_(std::move(loaded)), handle_(handle),
      host_lifetime_(std::move(host_lifetime)) {}

bool Library::is_current() const { return FileState::of(path_) == state_; }

Result<std::shared_ptr<Library>> Library::open(const std::filesystem::path &path,
                                               const tessera_host *host,
                                               std::shared_ptr<const void> host_lifetime,
                                               bool replaceable) {
    std::error_code code;
    // A full path, or the linker would look in its own folders.
    const auto full = std::filesystem::canonical(path, code);
    if (code) {
        return make_error(Status::kNotFound, "plugin {}: {}", path.string(), code.message());
    }
    const FileState state = FileState::of(full); // a later one is a change
    PrivateCopy loaded = replaceable ? PrivateCopy::of(full) : PrivateCopy::none(full);
    if (auto checked = check_elf_library(loaded.path()); !checked) {
        return make_error(checked.error().status, "plugin {}: {}", full.string(),
                          checked.error().message);
    }
    void *const handle = ::dlopen(loaded.path().c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
        return make_error(Status::kFailed, "plugin {}: not a loadable library: {}", full.string(),
                          linker_message());
    }
    std::shared_ptr<Library> library(
        new Library(full, state, std::move(loaded), handle, std::move(host_lifetime)));
    auto started = library->start(host);
    if (started) started = library->read_factory();
    if (!started) {
        return make_error(started.error().status, "plugin {}: {}", full.string(),
                          started.error().message);
    }
    return library;
}

Result<void> Library::start(const tessera_host *host) {
    const auto *const entry =
        static_cast<const tessera_entry *>(::dlsym(handle_, TESSERA_ENTRY_SYMBOL));
    if (entry == nullptr) {
        return make_error(Status::kInvalidArgument,
                          "not a Tessera plugin: it exports no " TESSERA_ENTRY_SYMBOL);
    }
    if (!is_abi_compatible(entry->abi_version)) {
        return make_error(Status::kUnsupported, "built for ABI {}; this program has {}",
                          version_text(entry->abi_version), version_text(TESSERA_ABI_VERSION));
    }
    if (entry->init == nullptr || entry->deinit == nullptr || entry->get_factory == nullptr) {
        return make_error(Status::kInvalidArgument,
                          "its entry lacks a function; expected init, deinit and get_factory");
    }
    (void)log::take_last_error();
    const tessera_status status = entry->init(host, path_.c_str());
    if (status != TESSERA_OK) {
        return plugin_error("entry", "init", status, log::take_last_error());
    }
    host_ = host;
    entry_ = entry;
    return {};
}

Result<void> Library::read_factory() {
    factory_ = static_cast<const tessera_generator_factory *>(
        entry_->get_factory(TESSERA_GENERATOR_FACTORY));
    if (factory_ == nullptr) {
        return make_error(Status::kUnsupported, "it has no " TESSERA_GENERATOR_FACTORY);
    }
    if (factory_->get_count == nullptr || factory_->get_descriptor == nullptr ||
        factory_->create == nullptr) {
        return make_error(Status::kInvalidArgument,
                          "its factory lacks a function; expected get_count, get_descriptor and "
                          "create");
    }
    const std::uint32_t count = factory_->get_count();
    if (count == 0 || count > kMaxGenerators) {
        return make_error(Status::kInvalidArgument, "it claims {} generators; expected 1 to {}",
                          count, kMaxGenerators);
    }
    for (std::uint32_t i = 0; i < count; ++i) {
        auto descriptor = read_descriptor(factory_->get_descriptor(i));
        if (!descriptor) {
            return make_error(descriptor.error().status, "generator {} of {}: {}", i, count,
                              descriptor.error().message);
        }
        for (const Descriptor &other : descriptors_) {
            if (other.id == descriptor->id) {
                return make_error(Status::kInvalidArgument, "two generators have the id '{}'",
                                  other.id);
            }
        }
        descriptors_.push_back(std::move(*descriptor));
    }
    return {};
}

Result<const tessera_generator *> Library::make_generator(const std::string &id,
                                                          const std::string &model) const {
    tessera_creation creation{};
    creation.struct_size = sizeof creation;
    creation.model = model.empty() ? nullptr : model.c_str();
    (void)log::take_last_error();
    const tessera_generator *const generator = factory_->create(host_, id.c_str(), &creation);
    if (generator == nullptr) {
        return plugin_error(id, "create", TESSERA_ERROR_FAILED, log::take_last_error());
    }
    return generator;
}

Library::~Library() {
    if (entry_ != nullptr) entry_->deinit();
    ::dlclose(handle_);
    if (is_loaded(loaded_path())) {
        log::debug(kSource, "{} stays in memory after closing", path_.string());
    }
}

bool is_loaded(const std::filesystem::path &path) {
    void *const handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD);
    if (handle == nullptr) {
        (void)::dlerror(); // forgotten, so that no later message is about this question
        return false;
    }
    ::dlclose(handle);
    return true;
}

} // namespace tessera
