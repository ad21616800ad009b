// SPDX-License-Identifier: AGPL-3.0-only
#include <dirent.h>
#include <rte_build_config.h>
#include <rte_version.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "fastpathd/probe.h"
#include "fastpathd/topology.h"

namespace nest::fast {
namespace {

namespace fs = std::filesystem;

size_t entries_of(const fs::path& folder) {
  std::error_code missing;
  size_t count = 0;
  for (const auto& each : fs::directory_iterator(folder, missing)) count += each.path().empty() ? 0 : 1;
  return count;
}

/// "512 free huge pages of 2048 kB", or what to do without.
std::string huge_pages(const fs::path& sysfs) {
  std::error_code missing;
  std::string text;
  for (const auto& each : fs::directory_iterator(sysfs / "kernel/mm/hugepages", missing)) {
    const long free_pages = std::atol(first_line(each.path() / "free_hugepages").c_str());
    if (free_pages <= 0) continue;
    // hugepages-2048kB
    const std::string name = each.path().filename();
    text += (text.empty() ? "" : ", ") + std::to_string(free_pages) + " free huge pages of " +
            name.substr(name.find('-') + 1);
  }
  if (!text.empty()) return text;
  return "no free huge pages (give --eal --no-huge, or reserve some: sysctl vm.nr_hugepages=512)";
}

std::string devices(const fs::path& sysfs) {
  const size_t bound = entries_of(sysfs / "class/iommu");
  std::error_code missing;
  if (!fs::exists(sysfs / "bus/pci/drivers/vfio-pci", missing))
    return "no PCI devices (the driver vfio-pci is not loaded), virtual devices only";
  return bound > 0 ? "PCI devices by vfio-pci" : "PCI devices by vfio-pci without an IOMMU only";
}

}  // namespace

EngineProbe probe_dpdk(const std::string& sysfs) {
  const std::string version = rte_version();
  const size_t drivers = entries_of(RTE_EAL_PMD_PATH);
  if (drivers == 0)
    return {"dpdk", false, version + ", but no drivers in " RTE_EAL_PMD_PATH " (Debian: librte-meta-net)"};
  const std::string privileges =
      geteuid() == 0 ? "" : "; not root: huge pages, taps and devices may be refused";
  return {"dpdk", true,
          version + ", " + std::to_string(drivers) + " drivers; " + huge_pages(sysfs) + "; " +
              devices(sysfs) + privileges};
}

}  // namespace nest::fast
