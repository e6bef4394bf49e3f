#include "assets/image/colour.hpp"

#include <lcms2.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <utility>

namespace tessera {
namespace {

struct CloseProfile {
    void operator()(void *profile) const { cmsCloseProfile(profile); }
};
using Profile = std::unique_ptr<void, CloseProfile>;
struct DeleteTransform {
    void operator()(void *transform) const { cmsDeleteTransform(transform); }
};
using Transform = std::unique_ptr<void, DeleteTransform>;

constexpr cmsUInt32Number kGreyInRgba = COLORSPACE_SH(PT_GRAY) | CHANNELS_SH(1) | EXTRA_SH(3);
constexpr double kScreenGamma = 1 / 2.2; // what encoders write when they mean sRGB
constexpr double kGammaTolerance = 0.01;
constexpr double kChromaticityTolerance = 0.002;
constexpr std::array<double, 8> kSrgbChromaticities{0.3127, 0.3290, 0.64, 0.33,
                                                    0.30,   0.60,   0.15, 0.06};

bool is_srgb_gamma(double gamma) { return std::abs(gamma - kScreenGamma) < kGammaTolerance; }

bool are_srgb(const std::array<double, 8> &chromaticities) {
    return std::equal(chromaticities.begin(), chromaticities.end(), kSrgbChromaticities.begin(),
                      [](double a, double b) { return std::abs(a - b) < kChromaticityTolerance; });
}

// IEC 61966-2-1.
constexpr TransferCurve kSrgbCurve{2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045};

cmsToneCurve *built(const TransferCurve &curve) {
    constexpr int kOfThisShape = 4;
    const std::array<double, 5> parameters{curve.g, curve.a, curve.b, curve.c, curve.d};
    return cmsBuildParametricToneCurve(nullptr, kOfThisShape, parameters.data());
}

// Of gamma and chromaticities; nullptr when they say sRGB.
Profile profile_of_numbers(const ColourSpace &colours) {
    const bool has_gamma = colours.gamma && !is_srgb_gamma(*colours.gamma);
    const auto &xy = colours.chromaticities.value_or(kSrgbChromaticities);
    if (!colours.curve && !has_gamma && are_srgb(xy)) return nullptr;
    cmsToneCurve *const curve = colours.curve ? built(*colours.curve)
                                : has_gamma   ? cmsBuildGamma(nullptr, 1 / *colours.gamma)
                                              : built(kSrgbCurve);
    if (curve == nullptr) return nullptr;
    const cmsCIExyY white{xy[0], xy[1], 1};
    const cmsCIExyYTRIPLE primaries{{xy[2], xy[3], 1}, {xy[4], xy[5], 1}, {xy[6], xy[7], 1}};
    const std::array<cmsToneCurve *, 3> curves{curve, curve, curve};
    Profile profile(cmsCreateRGBProfile(&white, &primaries, curves.data()));
    cmsFreeToneCurve(curve);
    return profile;
}

Profile profile_of(const RawPicture &picture) {
    const ColourSpace &colours = picture.colours;
    if (!colours.profile.empty()) {
        return Profile(cmsOpenProfileFromMem(colours.profile.data(),
                                             static_cast<cmsUInt32Number>(colours.profile.size())));
    }
    return picture.layout == RawPicture::Layout::kRgba ? profile_of_numbers(colours) : nullptr;
}

// How Little CMS reads the picture through this profile; 0: not at all.
cmsUInt32Number input_format(const RawPicture &picture, cmsHPROFILE profile) {
    const cmsUInt32Number depth = BYTES_SH(picture.words.empty() ? 1 : 2);
    const cmsColorSpaceSignature space = cmsGetColorSpace(profile);
    if (picture.layout == RawPicture::Layout::kCmyk) {
        return space == cmsSigCmykData ? TYPE_CMYK_8 : 0;
    }
    if (space == cmsSigGrayData && picture.is_grey) return kGreyInRgba | depth;
    if (space != cmsSigRgbData) return 0;
    return COLORSPACE_SH(PT_RGB) | CHANNELS_SH(3) | EXTRA_SH(1) | depth;
}

Transform make_transform(cmsHPROFILE profile, cmsUInt32Number format) {
    if (profile == nullptr || format == 0) return nullptr;
    const Profile srgb(cmsCreate_sRGBProfile());
    if (!srgb) return nullptr;
    return Transform(
        cmsCreateTransform(profile, format, srgb.get(), TYPE_RGBA_8, INTENT_PERCEPTUAL, 0));
}

// Most profiles in files are sRGB under some name: their rounding must not touch the picture.
bool changes_colours(cmsHPROFILE profile, cmsUInt32Number format) {
    const bool is_wide = T_BYTES(format) == 2;
    const Transform probe =
        make_transform(profile, format ^ (is_wide ? BYTES_SH(2) ^ BYTES_SH(1) : 0));
    if (!probe) return false;
    for (int i = 0; i < 6 * 6 * 6; ++i) {
        const auto level = [](int n) { return static_cast<std::uint8_t>(n % 6 * 51); };
        std::array<std::uint8_t, 4> in{level(i), level(i / 6), level(i / 36), 255};
        if (T_COLORSPACE(format) == PT_GRAY) in[1] = in[2] = in[0];
        std::array<std::uint8_t, 4> out{};
        cmsDoTransform(probe.get(), in.data(), out.data(), 1);
        for (int c = 0; c < 3; ++c) {
            if (std::abs(in[c] - out[c]) > 1) return true;
        }
    }
    return false;
}

std::uint8_t to_byte(std::uint16_t word) {
    return static_cast<std::uint8_t>((word * 255U + 32767U) / 65535U);
}

// Without a profile: what is left of white light after both inks.
void mix_inks(std::vector<std::uint8_t> &pixels) {
    for (std::size_t i = 0; i + 3 < pixels.size(); i += 4) {
        const unsigned light = 255U - pixels[i + 3];
        for (std::size_t c = 0; c < 3; ++c) {
            pixels[i + c] = static_cast<std::uint8_t>(((255U - pixels[i + c]) * light + 127) / 255);
        }
        pixels[i + 3] = 255;
    }
}

} // namespace

Image to_srgb(RawPicture picture) {
    Image image{picture.width, picture.height, 4, {}};
    const bool is_wide = !picture.words.empty();
    const Profile profile = profile_of(picture);
    const cmsUInt32Number format = profile ? input_format(picture, profile.get()) : 0;
    const bool is_cmyk = picture.layout == RawPicture::Layout::kCmyk;
    Transform transform;
    if (format != 0 && (is_cmyk || changes_colours(profile.get(), format))) {
        transform = make_transform(profile.get(), format);
    }
    if (!is_wide && !transform) {
        image.pixels = std::move(picture.bytes);
        if (is_cmyk) mix_inks(image.pixels);
        return image;
    }
    if (is_wide) {
        image.pixels.resize(picture.words.size());
        std::transform(picture.words.begin(), picture.words.end(), image.pixels.begin(), to_byte);
    } else {
        image.pixels = picture.bytes;
        if (is_cmyk) {
            for (std::size_t i = 3; i < image.pixels.size(); i += 4) image.pixels[i] = 255;
        }
    }
    if (!transform) return image;
    const std::size_t row = std::size_t{image.width} * 4;
    for (std::size_t y = 0; y < image.height; ++y) { // alpha is left as it stands in `image`
        const void *in = is_wide ? static_cast<const void *>(picture.words.data() + y * row)
                                 : static_cast<const void *>(picture.bytes.data() + y * row);
        cmsDoTransform(transform.get(), in, image.pixels.data() + y * row, image.width);
    }
    return image;
}

} // namespace tessera
