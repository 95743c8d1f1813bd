package model

// NVML numbers of brands and architectures.
const (
	brandTesla  = 2
	brandNVIDIA = 14
	brandRTX    = 13

	archVolta     = 5
	archTuring    = 6
	archAmpere    = 7
	archHopper    = 9
	archBlackwell = 10
)

// specs lists the models. Figures are those of data sheets and nvidia-smi; idle and busy values are typical.
func specs() []*spec {
	ampere := spec{
		brand: brandNVIDIA, arch: archAmpere, ccMajor: 8, coresPerSM: 64, hbm: true, ecc: true, rowRemap: true, pcieGen: 4, pcieWidth: 16,
		nvlinkVersion: 3, nvlinkMBps: 25000, idleMHz: 210, slowdownC: 89, shutdownC: 92, gpuMaxC: 85, memMaxC: 95, idleC: 30, busyC: 64,
	}
	hopper := spec{
		brand: brandNVIDIA, arch: archHopper, ccMajor: 9, coresPerSM: 128, hbm: true, ecc: true, rowRemap: true, pcieGen: 5, pcieWidth: 16,
		nvlinks: 18, nvlinkVersion: 4, nvlinkMBps: 26562, idleMHz: 345, maxMHz: 1980, slowdownC: 87, shutdownC: 92, gpuMaxC: 87, memMaxC: 95, idleC: 29, busyC: 66,
		gpm: true, fabric: true, modeImmediate: true, axis: 8, slices: 7, engines: engines{copy: 8, dec: 7, jpeg: 7, ofa: 1},
	}

	a100 := ampere
	a100.busWidth, a100.sms, a100.bar1MiB = 5120, 108, 65536
	a100.nvlinks, a100.axis, a100.slices, a100.engines = 12, 8, 7, engines{copy: 7, dec: 5, jpeg: 1, ofa: 1}
	a100.maxMHz, a100.limitW, a100.minLimitW, a100.idleW, a100.banks = 1410, 400, 100, 52, 640
	a10040, a10080 := a100, a100
	a10040.model, a10040.name, a10040.pciDevice, a10040.pciSubsystem = "a100-40", "NVIDIA A100-SXM4-40GB", 0x20B010DE, 0x134F10DE
	a10040.memoryMiB, a10040.reservedMiB, a10040.memMHz, a10040.banks = 40960, 504, 1215, 512
	a10040.partNumber, a10040.vbios, a10040.profiles = "692-2G506-0200-003", "92.00.45.00.03", a100Profiles(false)
	a10080.model, a10080.name, a10080.pciDevice, a10080.pciSubsystem = "a100-80", "NVIDIA A100-SXM4-80GB", 0x20B210DE, 0x147F10DE
	a10080.memoryMiB, a10080.reservedMiB, a10080.memMHz, a10080.bar1MiB = 81920, 867, 1593, 131072
	a10080.partNumber, a10080.vbios, a10080.profiles = "692-2G506-0210-002", "92.00.AE.00.12", a100Profiles(true)

	a30 := ampere
	a30.model, a30.name, a30.pciDevice, a30.pciSubsystem = "a30", "NVIDIA A30", 0x20B710DE, 0x153210DE
	a30.memoryMiB, a30.reservedMiB, a30.bar1MiB, a30.busWidth, a30.sms, a30.banks = 24576, 503, 32768, 3072, 56, 384
	a30.nvlinks, a30.maxMHz, a30.memMHz, a30.limitW, a30.minLimitW, a30.idleW = 4, 1440, 1215, 165, 100, 28
	a30.axis, a30.slices, a30.engines, a30.profiles = 4, 4, engines{copy: 4, dec: 4, jpeg: 1, ofa: 1}, a30Profiles()
	a30.partNumber, a30.vbios = "900-21001-0040-100", "92.00.66.00.0A"

	h100 := hopper
	h100.model, h100.name, h100.pciDevice, h100.pciSubsystem = "h100", "NVIDIA H100 80GB HBM3", 0x233010DE, 0x16C110DE
	h100.memoryMiB, h100.reservedMiB, h100.bar1MiB, h100.busWidth, h100.sms, h100.banks = 81559, 551, 131072, 5120, 132, 2560
	h100.memMHz, h100.limitW, h100.minLimitW, h100.idleW, h100.profiles = 2619, 700, 200, 70, h100Profiles()
	h100.since = 525
	h100.partNumber, h100.vbios = "692-2G520-0200-000", "96.00.74.00.01"
	h200 := hopper
	h200.model, h200.name, h200.pciDevice, h200.pciSubsystem = "h200", "NVIDIA H200", 0x233510DE, 0x18BE10DE
	h200.memoryMiB, h200.reservedMiB, h200.bar1MiB, h200.busWidth, h200.sms, h200.banks = 143771, 611, 262144, 6144, 132, 3072
	h200.memMHz, h200.limitW, h200.minLimitW, h200.idleW, h200.profiles = 3201, 700, 200, 76, h200Profiles()
	h200.since = 550
	h200.partNumber, h200.vbios = "692-2G520-0280-001", "96.00.A5.00.01"
	b200 := hopper
	b200.model, b200.name, b200.pciDevice, b200.pciSubsystem = "b200", "NVIDIA B200", 0x290110DE, 0x199910DE
	b200.arch, b200.ccMajor, b200.nvlinkVersion, b200.nvlinkMBps = archBlackwell, 10, 5, 53125
	b200.memoryMiB, b200.reservedMiB, b200.bar1MiB, b200.busWidth, b200.sms, b200.banks = 183359, 724, 262144, 8192, 148, 6144
	b200.memMHz, b200.maxMHz, b200.idleMHz, b200.limitW, b200.minLimitW, b200.idleW = 3996, 1965, 120, 1000, 200, 140
	b200.engines.copy, b200.profiles = 16, b200Profiles()
	b200.since = 570
	b200.partNumber, b200.vbios = "692-2G525-0220-002", "97.00.82.00.04"

	gb200 := b200
	gb200.model, gb200.name, gb200.pciDevice, gb200.pciSubsystem = "gb200", "NVIDIA GB200", 0x294110DE, 0x204610DE
	gb200.memoryMiB, gb200.sms, gb200.limitW, gb200.profiles = 189471, 152, 1200, gb200Profiles()
	gb200.partNumber, gb200.vbios = "692-2G548-0220-010", "97.00.A7.00.01"

	rtx := spec{
		model: "rtxpro6000", name: "NVIDIA RTX PRO 6000 Blackwell Server Edition", brand: brandRTX, arch: archBlackwell, ccMajor: 12, coresPerSM: 128,
		pciDevice: 0x2BB510DE, pciSubsystem: 0x204E10DE, partNumber: "900-2G153-0000-000", vbios: "98.02.52.00.02",
		memoryMiB: 97887, reservedMiB: 637, bar1MiB: 131072, busWidth: 512, sms: 188, ecc: true, rowRemap: true, banks: 192,
		pcieGen: 5, pcieWidth: 16, idleW: 30, limitW: 600, minLimitW: 300, idleMHz: 180, maxMHz: 2430, memMHz: 12481, idlePState: 8,
		slowdownC: 95, shutdownC: 100, gpuMaxC: 92, idleC: 32, busyC: 72, gpm: true, modeImmediate: true,
		engines: engines{copy: 4, dec: 4, enc: 4, jpeg: 4, ofa: 1}, axis: 12, slices: 4, profiles: rtx6000Profiles(), since: 575,
	}

	t4 := spec{
		model: "t4", name: "Tesla T4", brand: brandTesla, arch: archTuring, ccMajor: 7, ccMinor: 5, coresPerSM: 64,
		pciDevice: 0x1EB810DE, pciSubsystem: 0x12A210DE, partNumber: "900-2G183-0000-001", vbios: "90.04.96.00.01",
		memoryMiB: 15360, reservedMiB: 445, bar1MiB: 256, busWidth: 256, sms: 40, ecc: true, pcieGen: 3, pcieWidth: 16,
		idleW: 10, limitW: 70, minLimitW: 60, idleMHz: 300, maxMHz: 1590, memMHz: 5000, idlePState: 8,
		slowdownC: 93, shutdownC: 96, gpuMaxC: 85, idleC: 36, busyC: 70, engines: engines{copy: 3, dec: 2, enc: 1},
	}

	v100 := spec{
		model: "v100", name: "Tesla V100-SXM2-16GB", brand: brandTesla, arch: archVolta, ccMajor: 7, coresPerSM: 64,
		pciDevice: 0x1DB110DE, pciSubsystem: 0x121210DE, partNumber: "900-2G503-0000-000", vbios: "88.00.4F.00.09",
		memoryMiB: 16384, reservedMiB: 224, bar1MiB: 16384, busWidth: 4096, sms: 80, hbm: true, ecc: true, pcieGen: 3, pcieWidth: 16,
		nvlinks: 6, nvlinkVersion: 2, nvlinkMBps: 25781, idleW: 42, limitW: 300, minLimitW: 150, idleMHz: 135, maxMHz: 1530, memMHz: 877,
		slowdownC: 87, shutdownC: 90, gpuMaxC: 83, memMaxC: 85, idleC: 33, busyC: 66, engines: engines{copy: 5, dec: 1, enc: 3},
	}

	odd := ampere
	odd.model, odd.name, odd.pciDevice, odd.pciSubsystem = "odd", "NVIDIA X1000 Prototype", 0x7FFF10DE, 0x7FFF10DE
	odd.arch, odd.ccMajor = 0xffffffff, 14
	odd.memoryMiB, odd.reservedMiB, odd.bar1MiB, odd.busWidth, odd.sms, odd.banks = 81920, 500, 131072, 5120, 102, 640
	odd.maxMHz, odd.memMHz, odd.limitW, odd.minLimitW, odd.idleW = 1500, 2000, 500, 100, 60
	odd.axis, odd.slices, odd.engines, odd.profiles = 10, 6, engines{copy: 6, dec: 4, jpeg: 1, ofa: 1}, oddProfiles()
	odd.modeImmediate, odd.profileEnumEnd = true, 20
	odd.partNumber, odd.vbios = "000-00000-0000-000", "FF.00.00.00.01"

	return []*spec{&a30, &a10040, &a10080, &h100, &h200, &b200, &gb200, &rtx, &t4, &v100, &odd}
}

func specOf(model string) *spec {
	for _, s := range specs() {
		if s.model == model {
			return s
		}
	}
	return nil
}

// Models lists the GPU models that a shape can name.
func Models() []string {
	var out []string
	for _, s := range specs() {
		out = append(out, s.model)
	}
	return out
}
