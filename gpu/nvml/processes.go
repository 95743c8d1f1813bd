package nvml

import (
	nv "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/gpu"
)

// The lists of processes that the driver has.
const (
	computeProcesses  = "nvmlDeviceGetComputeRunningProcesses"
	graphicsProcesses = "nvmlDeviceGetGraphicsRunningProcesses"
	mpsProcesses      = "nvmlDeviceGetMPSComputeRunningProcesses"
)

// running reads one list.
func (v *device) running(kind string) ([]nv.ProcessInfo, error) {
	list := map[string]func() ([]nv.ProcessInfo, nv.Return){
		computeProcesses: v.h.GetComputeRunningProcesses, graphicsProcesses: v.h.GetGraphicsRunningProcesses,
		mpsProcesses: v.h.GetMPSComputeRunningProcesses,
	}[kind]
	var infos []nv.ProcessInfo
	err := v.d.call(v.d.newest(kind), func() (ret nv.Return) { infos, ret = list(); return ret })
	return infos, err
}

// crowd are processes of several lists, one entry for each process and instance.
type crowd struct {
	at  map[member]int
	all []gpu.ProcessUse
}

type member struct{ pid, gi, ci uint32 }

// add merges a list.
func (c *crowd) add(kind string, infos []nv.ProcessInfo) {
	if c.at == nil {
		c.at = map[member]int{}
	}
	for _, p := range infos {
		k := member{p.Pid, p.GpuInstanceId, p.ComputeInstanceId}
		memory := p.UsedGpuMemory
		if memory == ^uint64(0) { // NVML_VALUE_NOT_AVAILABLE
			memory = 0
		}
		i, ok := c.at[k]
		if !ok {
			i = len(c.all)
			c.at[k] = i
			c.all = append(c.all, gpu.ProcessUse{Holder: gpu.Holder{PID: int(p.Pid), GPUInstance: p.GpuInstanceId, ComputeInstance: p.ComputeInstanceId}})
		}
		c.all[i].MemoryBytes = max(c.all[i].MemoryBytes, memory)
		c.all[i].MPS = c.all[i].MPS || kind == mpsProcesses
	}
}

// Processes merges what the driver tells of compute, graphics and MPS clients.
func (v *device) Processes() ([]gpu.Holder, error) {
	var c crowd
	for _, kind := range []string{computeProcesses, graphicsProcesses, mpsProcesses} {
		infos, err := v.running(kind)
		if err != nil && (kind == computeProcesses || whole(err)) {
			return nil, err
		}
		c.add(kind, infos)
	}
	var out []gpu.Holder
	for _, p := range c.all {
		out = append(out, p.Holder)
	}
	return out, nil
}
