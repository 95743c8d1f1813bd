package nvml

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	nv "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

func itoa(n int) string { return strconv.Itoa(n) }

// device is one GPU of a session.
type device struct {
	d *Driver
	h nv.Device
	// cis are the compute-instance profiles by GPU-instance profile; used in the inventory lane alone.
	cis map[uint32][]nv.ComputeInstanceProfileInfo
	// shape is how Layout last found the GPU divided; nil before. Telemetry, in another lane, notices by it that all is different.
	shape atomic.Pointer[shape]
	// geometry is what Geometry found last; nil before. Changes, in another lane, know the profiles by it.
	geometry atomic.Pointer[mig.Geometry]
}

// shape is a mode with its instances. Another shape has another address.
type shape struct {
	mig       bool
	instances string
}

// saw notes the layout.
func (v *device) saw(l gpu.Layout) {
	s := shape{mig: l.MIG.Enabled}
	for _, in := range l.Instances {
		s.instances += fmt.Sprintf("%d,", in.ID)
		for _, c := range in.Compute {
			s.instances += string(c.UUID) + ";"
		}
	}
	if old := v.shape.Load(); old == nil || *old != s {
		v.shape.Store(&s)
	}
}

// Identity reads what is fixed.
func (v *device) Identity() (gpu.Identity, []gpu.Gap, error) {
	var id gpu.Identity
	g := gapList{}
	d := v.d
	g.add("UUID", d.call("nvmlDeviceGetUUID", func() nv.Return {
		s, ret := v.h.GetUUID()
		id.UUID = gpu.UUID(s)
		return ret
	}))
	if g.fatal != nil {
		return id, nil, g.fatal
	}
	id.Minor = -1
	g.add("minor number", d.call("nvmlDeviceGetMinorNumber", func() nv.Return {
		n, ret := v.h.GetMinorNumber()
		if ret == nv.SUCCESS {
			id.Minor = n
		}
		return ret
	}))
	g.add("model", d.call("nvmlDeviceGetName", func() (ret nv.Return) { id.Model, ret = v.h.GetName(); return ret }))
	g.add("memory size", d.call("nvmlDeviceGetMemoryInfo", func() nv.Return {
		m, ret := v.h.GetMemoryInfo()
		id.MemoryBytes = m.Total
		return ret
	}))
	g.add("compute capability", d.call("nvmlDeviceGetCudaComputeCapability", func() nv.Return {
		major, minor, ret := v.h.GetCudaComputeCapability()
		id.ComputeCapability = gpu.ComputeCapability{Major: major, Minor: minor}
		return ret
	}))
	id.Architecture = architecture(0)
	g.add("architecture", d.call("nvmlDeviceGetArchitecture", func() nv.Return {
		a, ret := v.h.GetArchitecture()
		id.Architecture = architecture(a)
		return ret
	}))
	g.add("PCI address", d.call(v.pciSymbol(), func() nv.Return {
		p, ret := v.h.GetPciInfo()
		if ret == nv.SUCCESS {
			id.PCI, id.PCIDeviceID, id.PCISubsystemID = address(p), p.PciDeviceId, p.PciSubSystemId
		}
		return ret
	}))
	return id, g.gaps, g.fatal
}

// pciSymbol is the form of GetPciInfo that go-nvml picked.
func (v *device) pciSymbol() string {
	for _, s := range []string{"nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetPciInfo_v2"} {
		if v.d.has(s) {
			return s
		}
	}
	return "nvmlDeviceGetPciInfo"
}

// address is the sysfs form. The driver's text has a domain of eight digits.
func address(p nv.PciInfo) gpu.PCIAddress {
	function := "0"
	if _, f, ok := strings.Cut(cstring(p.BusId[:]), "."); ok && f != "" {
		function = strings.ToLower(f)
	}
	return gpu.PCIAddress(fmt.Sprintf("%04x:%02x:%02x.%s", p.Domain, p.Bus, p.Device, function))
}

func cstring(s []int8) string {
	b := make([]byte, 0, len(s))
	for _, c := range s {
		if c == 0 {
			break
		}
		b = append(b, byte(c))
	}
	return string(b)
}

func architecture(a nv.DeviceArchitecture) string {
	switch a {
	case nv.DEVICE_ARCH_KEPLER:
		return "kepler"
	case nv.DEVICE_ARCH_MAXWELL:
		return "maxwell"
	case nv.DEVICE_ARCH_PASCAL:
		return "pascal"
	case nv.DEVICE_ARCH_VOLTA:
		return "volta"
	case nv.DEVICE_ARCH_TURING:
		return "turing"
	case nv.DEVICE_ARCH_AMPERE:
		return "ampere"
	case nv.DEVICE_ARCH_ADA:
		return "ada"
	case nv.DEVICE_ARCH_HOPPER:
		return "hopper"
	case nv.DEVICE_ARCH_BLACKWELL:
		return "blackwell"
	case nv.DEVICE_ARCH_RUBIN:
		return "rubin"
	}
	return "unknown"
}

// Condition reads what health is judged by. A GPU has rows to remap (Ampere and later), pages to retire (before), or neither.
func (v *device) Condition() (gpu.Condition, []gpu.Gap, error) {
	var c gpu.Condition
	g := gapList{}
	d := v.d
	err := d.call("nvmlDeviceGetTotalEccErrors", func() (ret nv.Return) {
		c.Uncorrected, ret = v.h.GetTotalEccErrors(nv.MEMORY_ERROR_TYPE_UNCORRECTED, nv.VOLATILE_ECC)
		return ret
	})
	g.add("ECC errors", err)
	c.Unread.Uncorrected = unread(err)
	if g.fatal != nil {
		return c, nil, g.fatal
	}
	err = d.call("nvmlDeviceGetRemappedRows", func() (ret nv.Return) {
		_, _, c.RemapPending, c.RemapFailed, ret = v.h.GetRemappedRows()
		return ret
	})
	remaps := g.optional("row remapping", err)
	c.Unread.Remap = unread(err)
	if !remaps && !c.Unread.Remap && g.fatal == nil {
		err = d.call("nvmlDeviceGetRetiredPagesPendingStatus", func() nv.Return {
			pending, ret := v.h.GetRetiredPagesPendingStatus()
			c.RemapPending = pending == nv.FEATURE_ENABLED
			return ret
		})
		g.add("row remapping and page retirement", err)
		c.Unread.Remap = unread(err)
	}
	if g.fatal == nil {
		v.recovery(&c, &g)
	}
	if g.fatal == nil {
		v.fabric(&c, &g)
	}
	return c, g.gaps, g.fatal
}

// recovery asks for the field that drivers from 570 on have.
func (v *device) recovery(c *gpu.Condition, g *gapList) {
	values := []nv.FieldValue{{FieldId: nv.FI_DEV_GET_GPU_RECOVERY_ACTION}}
	err := v.d.call("nvmlDeviceGetFieldValues", func() nv.Return { return v.h.GetFieldValues(values) })
	if err == nil {
		err = wrap("field GPU_RECOVERY_ACTION", nv.Return(values[0].NvmlReturn))
	}
	c.Unread.Recovery = unread(err)
	if !whole(err) && err != nil {
		g.gaps = append(g.gaps, gpu.Gap{Feature: "recovery action", Reason: v.d.name() + ": " + err.Error()})
		return
	}
	if g.add("recovery action", err) {
		c.Recovery = gpu.Recovery(binary.LittleEndian.Uint32(values[0].Value[:4]))
	}
}

// fabric asks the form with the newest structure that the driver knows.
func (v *device) fabric(c *gpu.Condition, g *gapList) {
	var state uint8
	err := v.d.call("nvmlDeviceGetGpuFabricInfoV", func() nv.Return {
		f, ret := v.h.GetGpuFabricInfoV().V2()
		state = f.State
		return ret
	})
	ok := g.optional("fabric state", err)
	if !ok && g.fatal == nil && !v.d.has("nvmlDeviceGetGpuFabricInfoV") {
		err = v.d.call("nvmlDeviceGetGpuFabricInfo", func() nv.Return {
			f, ret := v.h.GetGpuFabricInfo()
			state = f.State
			return ret
		})
		ok = g.optional("fabric state", err)
	}
	c.Unread.Fabric = unread(err)
	if ok {
		c.Fabric = gpu.Fabric(state)
	}
}

// newest is the name of the newest form of a function that the library has, which is the one that go-nvml picked.
func (d *Driver) newest(symbol string) string {
	for _, suffix := range []string{"_v3", "_v2"} {
		if d.has(symbol + suffix) {
			return symbol + suffix
		}
	}
	return symbol
}

// Links lists the NVLinks that are up.
func (v *device) Links() ([]gpu.Link, error) {
	var out []gpu.Link
	for link := range nv.NVLINK_MAX_LINKS {
		var state nv.EnableState
		err := v.d.call("nvmlDeviceGetNvLinkState", func() (ret nv.Return) { state, ret = v.h.GetNvLinkState(link); return ret })
		if whole(err) {
			return nil, err
		}
		if err != nil {
			break // no more links, or none at all
		}
		if state != nv.FEATURE_ENABLED {
			continue
		}
		l := gpu.Link{}
		err = v.d.call(v.d.newest("nvmlDeviceGetNvLinkRemotePciInfo"), func() nv.Return {
			p, ret := v.h.GetNvLinkRemotePciInfo(link)
			if ret == nv.SUCCESS {
				l.Remote = address(p)
			}
			return ret
		})
		if err == nil {
			_ = v.d.call("nvmlDeviceGetNvLinkRemoteDeviceType", func() nv.Return {
				t, ret := v.h.GetNvLinkRemoteDeviceType(link)
				l.Switch = ret == nv.SUCCESS && t == nv.NVLINK_DEVICE_TYPE_SWITCH
				return ret
			})
			out = append(out, l)
		}
		if whole(err) {
			return nil, err
		}
	}
	return out, nil //nolint:nilerr // an error is the end of the links
}

// Ancestor tells where two GPUs meet.
func (v *device) Ancestor(peer gpu.DriverGPU) (gpu.Ancestor, error) {
	other, ok := peer.(*device)
	if !ok {
		return 0, errors.New("the peer is not a GPU of this driver")
	}
	var level nv.GpuTopologyLevel
	err := v.d.call("nvmlDeviceGetTopologyCommonAncestor", func() (ret nv.Return) {
		level, ret = v.h.GetTopologyCommonAncestor(other.h)
		return ret
	})
	return gpu.Ancestor(level), err
}

// trimName reads a profile's name from its structure.
func trimName(name []int8) string { return string(bytes.TrimSpace([]byte(cstring(name)))) }
