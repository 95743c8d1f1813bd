package exporter

import (
	"strings"
	"testing"
	"time"

	"github.com/gpulet/gpulet/exporter/dcgm"
	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// hosts knows whose processes are.
type hosts map[int]kubelet.UID

func (h hosts) Container(pid int) (kubelet.UID, string, bool) {
	uid, ok := h[pid]
	return uid, "", ok
}

// claim gives devices to pods, by id.
func (r *rig) claim(pods map[string]string) {
	set := &kubelet.ClaimSet{Complete: true, ByID: map[string][]kubelet.Claim{}}
	for id, pod := range pods {
		set.ByID[id] = append(set.ByID[id], kubelet.Claim{
			Resource: "nvidia.com/gpu", ID: id, Pod: kubelet.UID("uid-" + pod), Namespace: "ml", Name: pod, Container: "main", Opened: time.Now(), Confirmed: true,
		})
	}
	r.claims.Set(set)
}

// Containers that share a GPU through MPS are said to, as long as the driver lists clients of MPS there.
func TestSharingThroughMPS(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, whole(0))
		r.cfg.Processes = hosts{10: "uid-a"}
		r.Exporter = New(r.cfg)
		client := gpu.ProcessUse{Holder: gpu.Holder{PID: 10, GPUInstance: gpu.NoInstance, MemoryBytes: 1 << 30}, MPS: true}
		r.driver.uses[uuid(0)] = []gpu.ProcessUse{client}
		r.run(t)
		r.claim(map[string]string{string(uuid(0)) + "::0": "a", string(uuid(0)) + "::1": "b"})
		after(5 * time.Second)
		before := r.Set()
		for _, h := range before.Holds {
			if h.Sharing != sample.MPS {
				t.Errorf("%s: %s", h.Pod, h.Sharing)
			}
		}
		after(5 * time.Second)
		if now := r.Set().Generation; now != before.Generation {
			t.Errorf("label sets are made anew each time: %d, then %d", before.Generation, now)
		}
		r.driver.do(func() { r.driver.uses[uuid(0)] = nil })
		after(5 * time.Second)
		if h := r.Set().Holds[0]; h.Sharing != sample.TimeSlicing {
			t.Errorf("without clients: %s", h.Sharing)
		}
	})
}

// Two pods on one GPU have what their processes did, in parts that sum up to the whole; processes are read of that GPU alone.
func TestSharedGPU(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, whole(0), whole(1))
		r.cfg.Processes = hosts{10: "uid-a", 20: "uid-b"}
		r.Exporter = New(r.cfg)
		r.driver.set(uuid(0).Whole(), family.GPUUtil, 80)
		r.driver.uses[uuid(0)] = []gpu.ProcessUse{
			{Holder: gpu.Holder{PID: 10, GPUInstance: gpu.NoInstance, MemoryBytes: 1 << 30}, Measured: true, SM: 0.6},
			{Holder: gpu.Holder{PID: 20, GPUInstance: gpu.NoInstance, MemoryBytes: 2 << 30}, Measured: true, SM: 0.2},
		}
		r.run(t)
		generation := r.Set().Generation
		r.claim(map[string]string{string(uuid(0)) + "::0": "a", string(uuid(0)) + "::1": "b", string(uuid(1)): "c"})
		after(time.Second)
		if r.driver.reads(uuid(0)) != 1 {
			t.Error("the processes of a GPU that is shared now are not read at the next tick")
		}
		after(2 * time.Second)
		set := r.Set()
		if set.Generation == generation || len(set.Holds) != 3 {
			t.Errorf("holds: %+v", set.Holds)
		}
		sum := 0.0
		for _, s := range set.Shares {
			if s.Entity == uuid(0).Whole() {
				sum += s.Utilization
			}
			if want, ok := map[string]float64{"a": 0.6, "b": 0.2}[s.Pod]; ok && (s.NoUtil != nil || s.Utilization < want-0.05 || s.Utilization > want+0.05) {
				t.Errorf("%s: %+v", s.Pod, s.Part)
			}
		}
		for _, rest := range set.Rests {
			if rest.Entity == uuid(0).Whole() {
				sum += rest.Utilization
			}
		}
		if sum < 0.799 || sum > 0.801 {
			t.Errorf("the parts sum up to %v", sum)
		}
		if r.driver.reads(uuid(0)) == 0 || r.driver.reads(uuid(1)) != 0 {
			t.Errorf("processes were read: %v", r.driver.reads(uuid(0)))
		}
		r.driver.do(func() { clear(r.driver.used) })
		after(10 * time.Second)
		if n := r.driver.reads(uuid(0)); n != 5 {
			t.Errorf("processes were read %d times in 10 s", n)
		}
		r.claim(map[string]string{string(uuid(0)) + "::0": "a"})
		after(10 * time.Second)
		set = r.Set()
		if len(set.Ledger) != 3 {
			t.Errorf("accounts: %+v", set.Ledger)
		}
		r.claim(map[string]string{string(uuid(0)): "a"})
		after(3 * time.Second)
		r.driver.do(func() { clear(r.driver.used) })
		after(10 * time.Second)
		if n := r.driver.reads(uuid(0)); n != 0 {
			t.Errorf("processes of an exclusive GPU were read %d times", n)
		}
	})
}

// Sources tell how podresources does.
func TestPodresources(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, whole(0))
		at := time.Now()
		r.assigned.Set(&kubelet.Assigned{Reason: "not asked yet"})
		r.run(t)
		r.assigned.Set(&kubelet.Assigned{Synced: true, At: at})
		after(time.Second)
		if s := r.source(podresourcesSource); !s.Last.Equal(at) || s.Reason != "" || s.Unused {
			t.Errorf("%+v", s)
		}
		r.assigned.Set(&kubelet.Assigned{Reason: "deadline exceeded"})
		after(time.Second)
		if s := r.source(podresourcesSource); s.Reason != "deadline exceeded" || s.Errors[gpu.Failed] != 1 || !s.Last.Equal(at) {
			t.Errorf("%+v", s)
		}
		r.assigned.Set(&kubelet.Assigned{Reason: "no socket", Absent: true})
		after(time.Second)
		if s := r.source(podresourcesSource); !s.Unused {
			t.Errorf("%+v", s)
		}
	})
}

// Status says of each metric that is not there why, once for all entities with the same reason.
func TestDescribe(t *testing.T) {
	play(t, func(t *testing.T) {
		var gpus []gpu.GPU
		for i := range 8 {
			gpus = append(gpus, divided(i, 7, 1))
		}
		r := newRig(t, gpus...)
		r.driver.absent[family.GREngine] = ampere()
		r.driver.absent[140] = gpu.Absence{Code: gpu.NotSupported, Text: "no sensor"}
		r.run(t)
		r.engine.feed.Set(&dcgm.Batch{At: time.Now(), State: dcgm.State{Wanted: true, Code: gpu.NoSource, Reason: "libdcgm.so.4 is not installed"}})
		after(2 * time.Second)
		release := r.driver.block(uuid(3))
		defer release()
		after(5 * time.Second)
		st := r.Describe()
		if st.Entities != 64 || len(st.GPUs) != 8 || st.GPUs[3].Up || st.GPUs[3].Reason == "" || !st.GPUs[4].Up {
			t.Errorf("%d entities, %+v", st.Entities, st.GPUs)
		}
		rows := map[string]AbsentStatus{}
		for _, a := range st.Absent {
			if _, twice := rows[a.Metric+string(a.Reason)]; twice {
				t.Errorf("two rows for %s", a.Metric)
			}
			rows[a.Metric+string(a.Reason)] = a
		}
		gr := rows["DCGM_FI_PROF_GR_ENGINE_ACTIVEno_source"]
		if gr.Count != 56 || gr.Of != 56 || len(gr.First) != named || gr.First[0] != "GPU 0 instance 1" || !strings.Contains(gr.Text, "libdcgm.so.4 is not installed") {
			t.Errorf("%+v", gr)
		}
		if a := rows["DCGM_FI_DEV_MEMORY_TEMPnot_supported"]; a.Count != 8 || a.Text != "no sensor" {
			t.Errorf("%+v", a)
		}
		if a := rows["DCGM_FI_DEV_XID_ERRORSlost"]; a.Count != 1 || a.Of != 8 {
			t.Errorf("%+v", a)
		}
		if a := rows["DCGM_FI_DEV_FB_USEDno_answer"]; a.Count != 7 || a.First[0] != "GPU 3 instance 1" {
			t.Errorf("%+v", a)
		}
		if _, ok := rows["DCGM_FI_DEV_GPU_UTILstale"]; ok {
			t.Error("a metric that is synthesized is missed")
		}
		for _, s := range st.Sources {
			if want := map[string]string{"nvml": "ok", "dcgm": "failing", "podresources": "failing"}[s.Name]; want != s.State && s.Name != "podresources" {
				t.Errorf("%+v", s)
			}
		}
	})
}
