package deviceplugin

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// leftovers names a process that is on one of the devices and should not be: one of a pod that ended, for as long as it is there;
// one that belongs to no pod, for a while. Replicas are shared by intention.
func (s *start) leftovers(ctx context.Context, a *answers, claims *kubelet.ClaimSet, entries []entry) string {
	cfg := s.list.desk.cfg
	if cfg.Holders == nil || cfg.Processes == nil {
		return ""
	}
	for _, e := range entries {
		if e.device.Replica > 0 {
			continue
		}
		holders, err := cfg.Holders.Holders(ctx, e.device.GPU)
		if err != nil { // a driver that does not answer is a matter of the GPU's health
			cfg.Log.Warn("who is left on a GPU is not known", "gpu", e.device.GPU, "reason", err)
			continue
		}
		for _, h := range holders {
			if on(h, e) {
				if why := s.leftover(a, claims, e, h.PID); why != "" {
					return why
				}
			}
		}
	}
	return ""
}

// on reports whether a process is on a device, also where the driver does not tell the instance.
func on(h gpu.Holder, e entry) bool {
	known := h.GPUInstance != gpu.NoInstance && e.device.Kind == gpu.Slice && e.exists
	return !known || h.GPUInstance == e.realized.GPUInstance &&
		(h.ComputeInstance == gpu.NoInstance || h.ComputeInstance == e.realized.ComputeInstance)
}

func (s *start) leftover(a *answers, claims *kubelet.ClaimSet, e entry, pid int) string {
	cfg := s.list.desk.cfg
	name := cfg.Processes.Name(pid)
	if name == "" || slices.Contains(a.settings.Ignore, name) {
		return ""
	}
	pod, known := cfg.Processes.Pod(pid)
	process := fmt.Sprintf("process %d (%s)", pid, name)
	switch {
	case known && (s.owned && pod == s.owner.Pod || holds(a, claims, pod, e.device.GPU)):
		return ""
	case known && s.ended(pod):
		return fmt.Sprintf("%s of a pod that ended is still on %s", process, e.id)
	case time.Since(s.begun) < strangers:
		return fmt.Sprintf("%s, which has not been given %s, is on it", process, e.id)
	}
	s.tellStranger(process, e)
	return ""
}

// holds reports whether a pod has a claim on a GPU.
func holds(a *answers, claims *kubelet.ClaimSet, pod kubelet.UID, uuid gpu.UUID) bool {
	for id, list := range claims.ByID {
		for _, c := range list {
			if c.Pod == pod && a.devices[id].device.GPU == uuid {
				return true
			}
		}
	}
	return false
}

// ended reports whether a pod is known to be over: it ended, or a complete list of this node's pods does not have it.
func (s *start) ended(pod kubelet.UID) bool {
	if s.list.desk.cfg.Pods == nil {
		return false
	}
	pods, _ := s.list.desk.cfg.Pods.Get()
	p, there := pods.ByUID[pod]
	return there && p.Ended || !there && pods.Synced
}

// tellStranger says once that a container starts beside a process that nobody gave the device to.
func (s *start) tellStranger(process string, e entry) {
	cfg := s.list.desk.cfg
	if s.told {
		return
	}
	s.told = true
	text := fmt.Sprintf("%s, which has not been given %s, is on it as a container starts", process, e.id)
	cfg.Log.Warn("a container starts beside a stranger", "device", e.id, "reason", text)
	if cfg.Events == nil {
		return
	}
	if s.owned {
		cfg.Events.Pod(s.owner.Namespace, s.owner.Name, s.owner.Pod, true, "GPUInUse", text)
	} else {
		cfg.Events.Node(true, "GPUInUse", text)
	}
}
