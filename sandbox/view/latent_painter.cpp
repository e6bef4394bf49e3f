#include "sandbox/view/latent_painter.hpp"

#include <algorithm>
#include <cmath>

namespace tessera {
namespace {

constexpr double kDeviationsShown = 2.5; // to each side

// Cells of latents whose token is known.
class KnownCells {
  public:
    KnownCells(const Latents &latents, const std::vector<std::uint8_t> &known,
               std::uint32_t columns)
        : latents_(latents), known_(known), columns_(known.empty() ? 0 : columns),
          rows_(columns_ > 0 ? static_cast<std::uint32_t>(known.size()) / columns_ : 0) {}

    [[nodiscard]] bool has(std::uint32_t y, std::uint32_t x) const {
        if (columns_ == 0 || rows_ == 0) return true;
        const std::size_t row = std::size_t{y} * rows_ / latents_.height;
        const std::size_t column = std::size_t{x} * columns_ / latents_.width;
        return known_[row * columns_ + column] != TESSERA_CELL_UNKNOWN;
    }
    // Calls visit(const float *vector) for each.
    template <class Visit>
    void each(Visit visit) const {
        for (std::uint32_t y = 0; y < latents_.height; ++y) {
            for (std::uint32_t x = 0; x < latents_.width; ++x) {
                if (has(y, x)) visit(vector_at(latents_, y, x));
            }
        }
    }
    static const float *vector_at(const Latents &latents, std::uint32_t y, std::uint32_t x) {
        return latents.values.data() +
               (std::size_t{y} * latents.width + x) * std::size_t{latents.channels};
    }

  private:
    const Latents &latents_;
    const std::vector<std::uint8_t> &known_;
    std::uint32_t columns_;
    std::uint32_t rows_;
};

double dot(const std::vector<float> &axis, const float *vector, const std::vector<float> &mean) {
    double sum = 0;
    for (std::size_t c = 0; c < axis.size(); ++c) {
        sum += static_cast<double>(axis[c]) * (static_cast<double>(vector[c]) - mean[c]);
    }
    return sum;
}

std::vector<float> mean_of(const KnownCells &cells, std::size_t channels) {
    std::vector<double> sum(channels);
    double count = 0;
    cells.each([&](const float *vector) {
        for (std::size_t c = 0; c < channels; ++c) sum[c] += vector[c];
        ++count;
    });
    std::vector<float> mean(channels);
    for (std::size_t c = 0; c < channels && count > 0; ++c) {
        mean[c] = static_cast<float>(sum[c] / count);
    }
    return mean;
}

void measure_deviations(LatentAxes &axes, const KnownCells &cells) {
    for (std::size_t k = 0; k < axes.along.size(); ++k) {
        double squares = 0;
        double count = 0;
        cells.each([&](const float *vector) {
            const double value = dot(axes.along[k], vector, axes.mean);
            squares += value * value;
            ++count;
        });
        axes.deviation[k] = count > 0 ? static_cast<float>(std::sqrt(squares / count)) : 0.0F;
    }
}

// (channels, channels), row by row.
std::vector<double> covariance_of(const KnownCells &cells, const std::vector<float> &mean) {
    const std::size_t n = mean.size();
    std::vector<double> covariance(n * n);
    std::vector<double> centred(n);
    cells.each([&](const float *vector) {
        for (std::size_t c = 0; c < n; ++c) centred[c] = static_cast<double>(vector[c]) - mean[c];
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = 0; j < n; ++j) covariance[i * n + j] += centred[i] * centred[j];
        }
    });
    return covariance;
}

void normalise(std::vector<double> &vector) {
    double squares = 0;
    for (const double value : vector) squares += value * value;
    if (squares <= 0) return;
    for (double &value : vector) value /= std::sqrt(squares);
}

// The direction of largest variance, by power iteration; it is then taken out of `covariance`.
std::vector<float> take_direction(std::vector<double> &covariance, std::size_t n) {
    constexpr int kRounds = 200; // to about a hundredth of a degree where it is distinct at all
    std::vector<double> direction(n);
    std::size_t largest = 0; // a column of the matrix is a good start, and never orthogonal
    for (std::size_t i = 0; i < n; ++i) {
        if (covariance[i * n + i] > covariance[largest * n + largest]) largest = i;
    }
    for (std::size_t i = 0; i < n; ++i) direction[i] = covariance[i * n + largest];
    if (covariance[largest * n + largest] <= 0) direction[largest] = 1;
    normalise(direction);
    std::vector<double> next(n);
    double variance = 0;
    for (int round = 0; round < kRounds; ++round) {
        variance = 0;
        for (std::size_t i = 0; i < n; ++i) {
            next[i] = 0;
            for (std::size_t j = 0; j < n; ++j) next[i] += covariance[i * n + j] * direction[j];
            variance += next[i] * direction[i];
        }
        if (variance <= 0) break;
        direction = next;
        normalise(direction);
    }
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
            covariance[i * n + j] -= variance * direction[i] * direction[j];
        }
    }
    const auto peak = std::max_element(direction.begin(), direction.end(), [](double a, double b) {
        return std::abs(a) < std::abs(b);
    });
    const double sign = *peak < 0 ? -1 : 1;
    std::vector<float> result(n);
    for (std::size_t i = 0; i < n; ++i) result[i] = static_cast<float>(sign * direction[i]);
    return result;
}

} // namespace

LatentAxes LatentAxes::principal(const Latents &latents, const std::vector<std::uint8_t> &known,
                                 std::uint32_t columns) {
    const KnownCells cells(latents, known, columns);
    LatentAxes axes;
    axes.mean = mean_of(cells, latents.channels);
    std::vector<double> covariance = covariance_of(cells, axes.mean);
    for (std::vector<float> &axis : axes.along) axis = take_direction(covariance, latents.channels);
    measure_deviations(axes, cells);
    return axes;
}

LatentAxes LatentAxes::channels(const Latents &latents, const std::vector<std::uint8_t> &known,
                                std::uint32_t columns, std::array<int, 3> channels) {
    const KnownCells cells(latents, known, columns);
    LatentAxes axes;
    axes.mean = mean_of(cells, latents.channels);
    for (std::size_t k = 0; k < channels.size(); ++k) {
        axes.along[k].assign(latents.channels, 0.0F);
        const int last = static_cast<int>(latents.channels) - 1;
        axes.along[k][static_cast<std::size_t>(std::clamp(channels[k], 0, last))] = 1;
    }
    measure_deviations(axes, cells);
    return axes;
}

void LatentAxes::align_with(const LatentAxes &other) {
    for (std::size_t k = 0; k < along.size(); ++k) {
        if (along[k].size() != other.along[k].size()) continue;
        double product = 0;
        for (std::size_t c = 0; c < along[k].size(); ++c) {
            product += static_cast<double>(along[k][c]) * other.along[k][c];
        }
        if (product >= 0) continue;
        for (float &value : along[k]) value = -value;
    }
}

Image laid_over(const Image &picture, const Image &colours, float share) {
    Image out = picture;
    for (std::size_t i = 0; i < out.pixels.size() && i < colours.pixels.size(); i += 4) {
        const float here = share * static_cast<float>(colours.pixels[i + 3]) / 255;
        for (std::size_t k = i; k < i + 3; ++k) {
            const auto below = static_cast<float>(picture.pixels[k]);
            const auto above = static_cast<float>(colours.pixels[k]);
            out.pixels[k] = static_cast<std::uint8_t>(std::lround(below + here * (above - below)));
        }
    }
    return out;
}

void LatentPainter::choose_axes(const RunRecord &run, const RunStep &step, const LatentLook &look) {
    const bool fits = axes_.mean.size() == step.latents->channels && axes_look_ == look;
    if (fits && axes_job_ != 0 && (!run.ended || axes_job_ == run.job)) return;
    const RunStep *source = &step;
    if (run.ended) {
        for (const RunStep &each : run.steps) {
            if (each.latents != nullptr) source = &each;
        }
    }
    LatentAxes axes =
        look.principal
            ? LatentAxes::principal(*source->latents, source->cells, run.columns)
            : LatentAxes::channels(*source->latents, source->cells, run.columns, look.channels);
    if (fits) axes.align_with(axes_);
    axes_ = std::move(axes);
    axes_look_ = look;
    axes_job_ = run.ended ? run.job : 0;
}

std::shared_ptr<const Image> LatentPainter::paint(const RunRecord &run, const RunStep &step,
                                                  const LatentLook &look, std::uint32_t width,
                                                  std::uint32_t height) {
    choose_axes(run, step, look);
    const bool same = painted_ == step.latents && painted_look_ == look && picture_ != nullptr &&
                      painted_job_ == axes_job_ && axes_job_ != 0 && picture_->width == width &&
                      picture_->height == height;
    if (same) return picture_;
    const Latents &latents = *step.latents;
    const KnownCells cells(latents, step.cells, run.columns);
    auto image = std::make_shared<Image>();
    image->width = width;
    image->height = height;
    image->channels = 4;
    image->pixels.resize(std::size_t{width} * height * 4);
    for (std::uint32_t y = 0; y < height; ++y) {
        const auto row = static_cast<std::uint32_t>(std::uint64_t{y} * latents.height / height);
        for (std::uint32_t x = 0; x < width; ++x) {
            const auto column =
                static_cast<std::uint32_t>(std::uint64_t{x} * latents.width / width);
            std::uint8_t *const pixel = &image->pixels[(std::size_t{y} * width + x) * 4];
            if (!cells.has(row, column)) continue; // transparent black
            const float *const vector = KnownCells::vector_at(latents, row, column);
            for (std::size_t k = 0; k < 3; ++k) {
                const double range = kDeviationsShown * std::max(axes_.deviation[k], 1e-6F);
                const double value = 0.5 + 0.5 * dot(axes_.along[k], vector, axes_.mean) / range;
                pixel[k] = static_cast<std::uint8_t>(
                    std::lround(255 * (value > 0 ? std::min(value, 1.0) : 0.0)));
            }
            pixel[3] = 255;
        }
    }
    painted_ = step.latents;
    painted_look_ = look;
    painted_job_ = axes_job_;
    picture_ = std::move(image);
    return picture_;
}

} // namespace tessera
