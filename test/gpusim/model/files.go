package model

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Device majors, as /proc/devices tells them. Only 195 is fixed on real machines.
const (
	majorGPU  = 195
	majorUVM  = 508
	majorCaps = 235

	minorControl = 255
	minorModeset = 254
)

// Capability minors: 1 config, 2 monitor, then 135 for each GPU minor: 9 for each of 15 GPU instance ids, the instance itself first.
const (
	capsGPUs      = 32
	capsInstances = 15
	capsPerGI     = 9
)

func capMinor(gpu, gi uint32) uint32 { return 3 + gpu*capsInstances*capsPerGI + gi*capsPerGI }

// fileList collects files by path.
type fileList []File

func (l *fileList) file(path, content string, mode uint32) {
	*l = append(*l, File{Path: path, Kind: "file", Content: content, Mode: mode})
}

func (l *fileList) char(path string, major, minor, mode uint32) {
	*l = append(*l, File{Path: path, Kind: "char", Major: major, Minor: minor, Mode: mode})
}

func (l *fileList) link(path, to string) {
	*l = append(*l, File{Path: path, Kind: "link", Content: to, Mode: 0o777})
}

// Files lists what the machine shows of its GPUs under /proc, /sys and /dev, sorted by path. Folders are implied by their files.
// Capability nodes of instances under /dev/nvidia-caps are not among them: whoever needs one makes it, as on real machines.
func (n *Node) Files() []File {
	n.mu.Lock()
	defer n.mu.Unlock()
	var l fileList
	l.file("/proc/sys/kernel/random/boot_id", n.bootID+"\n", 0o444)
	l.file("/proc/sys/kernel/osrelease", n.kernel()+"\n", 0o444)
	n.numaFiles(&l)
	for _, g := range n.gpus {
		n.pciFiles(&l, g)
	}
	n.kernelFiles(&l)
	if n.loaded {
		n.driverFiles(&l)
		for _, g := range n.visible() {
			n.gpuFiles(&l, g)
		}
	}
	slices.SortFunc(l, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return l
}

func (n *Node) kernel() string {
	if n.shape.Kernel != "" {
		return n.shape.Kernel
	}
	return "6.8.0-50-generic"
}

// kernelFiles are /proc/modules and /proc/devices, which exist with and without the driver.
func (n *Node) kernelFiles(l *fileList) {
	modules := "xfs 1773568 1 - Live 0x0000000000000000\nnvme 53248 4 - Live 0x0000000000000000\n"
	chars := "  1 mem\n  5 /dev/tty\n 10 misc\n"
	if n.loaded {
		modules = "nvidia_uvm 4939776 2 - Live 0x0000000000000000 (POE)\n" +
			"nvidia_drm 122880 0 - Live 0x0000000000000000 (POE)\n" +
			"nvidia_modeset 1355776 1 nvidia_drm, Live 0x0000000000000000 (POE)\n" +
			"nvidia 54386688 31 nvidia_uvm,nvidia_modeset, Live 0x0000000000000000 (POE)\n" + modules
		name := "nvidia"
		if n.branch < 550 {
			name = "nvidia-frontend" // as it was called before R550
		}
		chars += fmt.Sprintf("%3d %s\n%3d nvidia-caps\n%3d nvidia-uvm\n", majorGPU, name, majorCaps, majorUVM)
	}
	l.file("/proc/modules", modules, 0o444)
	l.file("/proc/devices", "Character devices:\n"+chars+"\nBlock devices:\n259 blkext\n", 0o444)
}

func (n *Node) driverFiles(l *fileList) {
	l.file("/proc/driver/nvidia/version", fmt.Sprintf("NVRM version: NVIDIA UNIX x86_64 Kernel Module  %s  Thu Feb 22 01:44:30 UTC 2024\nGCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1~22.04)\n", n.driver), 0o444)
	l.file("/proc/driver/nvidia/params", "ResmanDebugLevel: 4294967295\nModifyDeviceFiles: 1\nDeviceFileUID: 0\nDeviceFileGID: 0\nDeviceFileMode: 438\nDmaRemapPeerMmio: 1\n", 0o444)
	l.file("/proc/driver/nvidia-caps/mig-minors", n.minors, 0o444)
	l.file("/proc/driver/nvidia/capabilities/mig/config", capability(1, 0o400), 0o400)
	l.file("/proc/driver/nvidia/capabilities/mig/monitor", capability(2, 0o444), 0o444)
	l.file("/sys/module/nvidia/version", n.driver+"\n", 0o444)
	l.file("/sys/module/nvidia/initstate", "live\n", 0o444)
	l.file("/sys/module/nvidia/refcnt", "31\n", 0o444)
	l.char("/dev/nvidiactl", majorGPU, minorControl, 0o666)
	l.char("/dev/nvidia-modeset", majorGPU, minorModeset, 0o666)
	l.char("/dev/nvidia-uvm", majorUVM, 0, 0o666)
	l.char("/dev/nvidia-uvm-tools", majorUVM, 1, 0o666)
	l.char("/dev/nvidia-caps/nvidia-cap1", majorCaps, 1, 0o400)
	l.char("/dev/nvidia-caps/nvidia-cap2", majorCaps, 2, 0o444)
}

func capability(minor, mode uint32) string {
	return fmt.Sprintf("DeviceFileMinor: %d\nDeviceFileMode: %d\nDeviceFileModify: 1\n", minor, mode)
}

func migMinors() string {
	var b strings.Builder
	b.WriteString("config 1\nmonitor 2\n")
	for g := range uint32(capsGPUs) {
		for gi := range uint32(capsInstances) {
			fmt.Fprintf(&b, "gpu%d/gi%d/access %d\n", g, gi, capMinor(g, gi))
			for ci := range uint32(capsPerGI - 1) {
				fmt.Fprintf(&b, "gpu%d/gi%d/ci%d/access %d\n", g, gi, ci, capMinor(g, gi)+1+ci)
			}
		}
	}
	return b.String()
}

func (n *Node) gpuFiles(l *fileList, g *gpu) {
	dir := "/proc/driver/nvidia/gpus/" + g.pci.Sysfs()
	gsp := n.driver
	if g.spec.arch < archTuring {
		gsp = "N/A"
	}
	l.file(dir+"/information", fmt.Sprintf("Model: \t\t %s\nIRQ:   \t\t %d\nGPU UUID: \t %s\nVideo BIOS: \t %s\nBus Type: \t PCIe\nDMA Size: \t 47 bits\nDMA Mask: \t 0x7fffffffffff\nBus Location: \t %s\nDevice Minor: \t %d\nGPU Firmware: \t %s\nGPU Excluded:\t No\n",
		g.spec.name, 100+g.slot, g.uuid, strings.ToLower(g.spec.vbios), g.pci.Sysfs(), g.minor, gsp), 0o444)
	l.file(dir+"/numa_status", "Node:       -1\nStatus:     disabled\n", 0o444)
	l.char(fmt.Sprintf("/dev/nvidia%d", g.minor), majorGPU, g.minor, 0o666)
	for _, gi := range g.instances {
		dir := fmt.Sprintf("/proc/driver/nvidia/capabilities/gpu%d/mig/gi%d", g.minor, gi.id)
		l.file(dir+"/access", capability(capMinor(g.minor, gi.id), 0o444), 0o444)
		for _, ci := range gi.cis {
			l.file(fmt.Sprintf("%s/ci%d/access", dir, ci.id), capability(capMinor(g.minor, gi.id)+1+ci.id, 0o444), 0o444)
		}
	}
}

// numaFiles are the NUMA nodes with their CPUs.
func (n *Node) numaFiles(l *fileList) {
	l.file("/sys/devices/system/node/online", ranges(0, n.shape.NUMANodes), 0o444)
	for i := range n.shape.NUMANodes {
		from, to := n.cpuRange(i)
		l.file(fmt.Sprintf("/sys/devices/system/node/node%d/cpulist", i), ranges(from, to), 0o444)
	}
	l.file("/sys/devices/system/cpu/online", ranges(0, n.shape.CPUs), 0o444)
}

func ranges(from, to int) string {
	if to-from == 1 {
		return fmt.Sprintf("%d\n", from)
	}
	return fmt.Sprintf("%d-%d\n", from, to-1)
}

// pciFiles are a GPU's folder in sysfs. /sys/bus/pci/devices/ADDRESS links to the device, as on real machines.
func (n *Node) pciFiles(l *fileList, g *gpu) {
	p := g.pci
	dir := fmt.Sprintf("/sys/devices/pci%04x:%02x/%s", p.Domain, p.Bus, p.Sysfs())
	l.link("/sys/bus/pci/devices/"+p.Sysfs(), "../../../"+strings.TrimPrefix(dir, "/sys/"))
	from, to := n.cpuRange(g.numa)
	numa := g.numa
	if n.shape.NUMANodes == 1 {
		numa = -1
	}
	for name, content := range map[string]string{
		"vendor": fmt.Sprintf("0x%04x\n", p.PciDeviceID&0xFFFF), "device": fmt.Sprintf("0x%04x\n", p.PciDeviceID>>16),
		"subsystem_vendor": fmt.Sprintf("0x%04x\n", p.PciSubSystemID&0xFFFF), "subsystem_device": fmt.Sprintf("0x%04x\n", p.PciSubSystemID>>16),
		"class": "0x030200\n", "revision": "0xa1\n", "irq": fmt.Sprintf("%d\n", 100+g.slot), "numa_node": fmt.Sprintf("%d\n", numa),
		"local_cpulist": ranges(from, to), "max_link_width": fmt.Sprintf("%d\n", g.spec.pcieWidth), "current_link_width": fmt.Sprintf("%d\n", g.spec.pcieWidth),
		"max_link_speed": linkSpeed(g.spec.pcieGen), "current_link_speed": linkSpeed(g.spec.pcieGen), "enable": "1\n",
		"uevent": fmt.Sprintf("DRIVER=nvidia\nPCI_CLASS=30200\nPCI_ID=%04X:%04X\nPCI_SUBSYS_ID=%04X:%04X\nPCI_SLOT_NAME=%s\n", p.PciDeviceID&0xFFFF, p.PciDeviceID>>16, p.PciSubSystemID&0xFFFF, p.PciSubSystemID>>16, p.Sysfs()),
	} {
		if name == "uevent" && !n.knows(g) {
			content = strings.TrimPrefix(content, "DRIVER=nvidia\n")
		}
		l.file(dir+"/"+name, content, 0o444)
	}
	if n.knows(g) {
		l.link(dir+"/driver", "../../../bus/pci/drivers/nvidia")
		l.link("/sys/bus/pci/drivers/nvidia/"+p.Sysfs(), "../../../../"+strings.TrimPrefix(dir, "/sys/"))
	}
}

func linkSpeed(gen uint32) string {
	return map[uint32]string{3: "8.0 GT/s PCIe\n", 4: "16.0 GT/s PCIe\n", 5: "32.0 GT/s PCIe\n"}[gen]
}
