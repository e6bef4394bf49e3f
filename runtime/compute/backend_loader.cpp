#include "compute/backend_loader.hpp"

#include "compute/backend_module.hpp"
#include "core/log.hpp"
#include "core/program.hpp"

#include <cctype>
#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <utility>

namespace tessera {
namespace {

namespace fs = std::filesystem;

std::string in_capitals(std::string text) {
    for (char &c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return text;
}

// TESSERA_NAME_MODULE, or the file next to the folder of plugins, in the build tree and installed,
// as the program or as libtessera.so sees it.
Result<fs::path> module_file(const std::string &name) {
    const std::string variable = "TESSERA_" + in_capitals(name) + "_MODULE";
    if (const char *given = std::getenv(variable.c_str()); given != nullptr && *given != 0) {
        if (fs::exists(given)) return fs::path(given);
        return make_error(Status::kUnsupported, "{} is {}, which does not exist", variable, given);
    }
    const std::string file = "tessera_" + name + ".so";
    std::error_code ignored;
    const fs::path program = program_folder();
    for (const char *folder : {"../lib/tessera", "../" TESSERA_LIBDIR "/tessera"}) {
        if (fs::exists(program / folder / file, ignored)) return program / folder / file;
    }
    const fs::path beside_library = library_folder() / "tessera" / file;
    if (fs::exists(beside_library, ignored)) return beside_library;
    return make_error(Status::kUnsupported,
                      "this build has no {} backend (its module {} is not next to the plugins)",
                      in_capitals(name), file);
}

void write_log(std::int32_t level, const char *source, const char *message) {
    log::write(static_cast<log::Level>(level), source, message);
}

// A loaded module. It is closed again only as long as nothing was opened with it; its code stays in
// any case, since a driver that it has started may call back into it for as long as we live.
class Module {
  public:
    static Result<Module> load(const std::string &name) {
        const auto file = module_file(name);
        if (!file) return file.error();
        Module module(dlopen(file->c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE));
        if (module.library_ == nullptr) {
            const char *const why = dlerror();
            return make_error(Status::kUnsupported, "{} cannot be loaded: {}", file->string(),
                              why != nullptr ? why : "unknown reason");
        }
        auto *const entry = reinterpret_cast<ModuleEntry *>(dlsym(module.library_, kModuleEntry));
        module.table_ = entry != nullptr ? entry() : nullptr;
        if (module.table_ == nullptr || module.table_->struct_size != sizeof(BackendModule) ||
            module.table_->abi_version != TESSERA_ABI_VERSION) {
            return make_error(Status::kUnsupported,
                              "{} is of another version; expected the module of this build",
                              file->string());
        }
        module.table_->set_log(write_log);
        return module;
    }

    Module(Module &&other) noexcept
        : library_(std::exchange(other.library_, nullptr)), table_(other.table_) {}
    Module &operator=(Module &&) = delete;
    ~Module() {
        if (library_ != nullptr) dlclose(library_);
    }

    [[nodiscard]] const BackendModule &table() const { return *table_; }
    void keep() { library_ = nullptr; }

  private:
    explicit Module(void *library) : library_(library) {}

    void *library_;
    const BackendModule *table_ = nullptr;
};

} // namespace

std::string missing_module(const std::string &name, bool for_best) {
    const auto module = Module::load(name);
    if (!module) return module.error().message;
    ModuleMessage reason{};
    const auto probe = for_best ? module->table().probe_best : module->table().probe;
    return probe(&reason) == TESSERA_OK ? std::string() : reason.text;
}

std::vector<std::string> module_devices(const std::string &name) {
    auto module = Module::load(name);
    std::vector<std::string> lines;
    if (!module) return lines;
    module->table().list(&lines, [](void *context, const char *line) {
        static_cast<std::vector<std::string> *>(context)->emplace_back(line);
    });
    return lines;
}

Result<OpenedCompute> open_module(const std::string &name, BackendSettings settings,
                                  const tessera_vulkan_device *vulkan) {
    auto module = Module::load(name);
    if (!module) return module.error();
    ModuleMessage message{};
    tessera_status status = TESSERA_OK;
    const tessera_compute *compute =
        module->table().open(settings.data(), settings.size(), vulkan, &status, &message);
    if (compute == nullptr) return make_error(static_cast<Status>(status), "{}", message.text);
    module->keep();
    return OpenedCompute(compute, module->table().close);
}

} // namespace tessera
