package kubelet

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// rig is Claims with everything around it in the test's hands, in fake time.
type rig struct {
	t          *testing.T
	pods       *gpu.Feed[*Pods]
	assigned   *toldAssignments
	checkpoint string
	state      string
	gate       Gate
	boot       string
	claims     *Claims
	stop       func()
	log        *lines
}

// toldAssignments is podresources in memory.
type toldAssignments struct {
	feed *gpu.Feed[*Assigned]
	mu   sync.Mutex
	next Assigned // what is said next; guarded by mu
}

func (a *toldAssignments) Feed() *gpu.Feed[*Assigned] { return a.feed }

func (a *toldAssignments) Refresh(context.Context) (*Assigned, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	next := a.next
	next.At = time.Now()
	a.feed.Set(&next)
	return &next, nil
}

// lines keeps log lines.
type lines struct {
	mu  sync.Mutex
	all strings.Builder // guarded by mu
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.all.String(), s)
}

func inRig(t *testing.T, f func(r *rig)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{
			t: t, pods: gpu.NewFeed(&Pods{Reason: "away"}), boot: "boot-1",
			assigned:   &toldAssignments{feed: gpu.NewFeed(&Assigned{Reason: "away"})},
			checkpoint: filepath.Join(dir, "kubelet_internal_checkpoint"), state: filepath.Join(dir, "state"), log: &lines{},
		}
		f(r)
		if r.stop != nil {
			r.stop()
		}
	})
}

// start runs the agent's account, as after a start of the agent.
func (r *rig) start() {
	r.claims = NewClaims(ClaimsConfig{
		StateDir: r.state, BootID: r.boot, Pods: r.pods, Resources: r.assigned, Checkpoint: r.checkpoint, Gate: &r.gate,
		Ours: func(resource string) bool { return strings.HasPrefix(resource, "nvidia.com/") },
		Log:  slog.New(slog.NewTextHandler(r.log, nil)),
	})
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.claims.Run(ctx); err != nil {
			r.t.Error(err)
		}
	}()
	r.stop = func() { cancel(); <-done }
	synctest.Wait()
}

// list is a synced list of pods.
func (r *rig) list(pods ...Pod) {
	by := map[UID]Pod{}
	for _, p := range pods {
		by[p.UID] = p
	}
	r.pods.Set(&Pods{Source: "test", Synced: true, ByUID: by})
	synctest.Wait()
}

// says is an answer of podresources: "id pod/container", or " pod" for one that has nothing.
func (r *rig) says(resource string, assigned ...string) {
	a := Assigned{Synced: true, Devices: map[DeviceKey][]Assignment{}, Active: map[string]struct{}{}}
	for _, s := range assigned {
		id, who, _ := strings.Cut(s, " ")
		pod, container, _ := strings.Cut(who, "/")
		a.Active["ns/"+pod] = struct{}{}
		if id == "" {
			continue
		}
		k := DeviceKey{resource, id}
		a.Devices[k] = append(a.Devices[k], Assignment{"ns", pod, container})
	}
	r.assigned.mu.Lock()
	r.assigned.next = a
	r.assigned.mu.Unlock()
	r.poll()
}

func (r *rig) poll() {
	_, _ = r.assigned.Refresh(r.t.Context())
	synctest.Wait()
}

// wrote is the kubelet writing its file.
func (r *rig) wrote(entries ...CheckpointEntry) {
	r.t.Helper()
	if err := os.WriteFile(r.checkpoint+".new", encodeCheckpoint(r.t, entries), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Chtimes(r.checkpoint+".new", time.Now(), time.Now()); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(r.checkpoint+".new", r.checkpoint); err != nil {
		r.t.Fatal(err)
	}
	r.after(lookEvery)
}

func encodeCheckpoint(t testing.TB, entries []CheckpointEntry) []byte {
	t.Helper()
	type entry struct {
		PodUID, ContainerName, ResourceName string
		DeviceIDs                           map[string][]string
		AllocResp                           []byte
	}
	var file struct {
		Data struct {
			PodDeviceEntries  []entry
			RegisteredDevices map[string][]string
		}
		Checksum uint64
	}
	file.Checksum = 1
	for _, e := range entries {
		file.Data.PodDeviceEntries = append(file.Data.PodDeviceEntries, entry{
			PodUID: string(e.Pod), ContainerName: e.Container, ResourceName: e.Resource,
			DeviceIDs: map[string][]string{"0": e.IDs}, AllocResp: []byte("x"),
		})
	}
	data, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// after lets time pass; podresources is asked every 10 s meanwhile.
func (r *rig) after(d time.Duration) {
	for ; d > 0; d -= 10 * time.Second {
		time.Sleep(min(d, 10*time.Second))
		if a, _ := r.assigned.feed.Get(); a.Synced && d >= 10*time.Second {
			r.poll()
		}
	}
	synctest.Wait()
}

func (r *rig) held(id string, want bool) {
	r.t.Helper()
	set, _ := r.claims.Feed().Get()
	if set.Held(id) != want {
		r.t.Fatalf("%s is held: %t, want %t; %+v", id, set.Held(id), want, r.claims.Describe(""))
	}
}

// is says who holds a device: "uid/container", with a question mark where it is a guess, in the order of the claims.
func (r *rig) is(id string, want ...string) {
	r.t.Helper()
	set, _ := r.claims.Feed().Get()
	var got []string
	for _, c := range set.ByID[id] {
		s := string(c.Pod) + "/" + c.Container
		if !c.Confirmed {
			s += "?"
		}
		got = append(got, s)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		r.t.Fatalf("%s is held by %q, want %q; %+v", id, got, want, r.claims.Describe(id))
	}
}

func (r *rig) complete(want bool) {
	r.t.Helper()
	if set, _ := r.claims.Feed().Get(); set.Complete != want {
		r.t.Fatalf("complete: %t, want %t", set.Complete, want)
	}
}

const gpus = "nvidia.com/gpu"

// waiting is a pod that the kubelet has not admitted, whose containers ask for one GPU each.
func waiting(uid UID, name string, containers ...string) Pod {
	p := Pod{UID: uid, Namespace: "ns", Name: name}
	if len(containers) == 0 {
		containers = []string{"main"}
	}
	for _, c := range containers {
		p.Containers = append(p.Containers, Container{
			Name: c, Init: strings.HasPrefix(c, "init"), Requests: map[string]int64{gpus: 1},
		})
	}
	return p
}

func running(uid UID, name string, containers ...string) Pod {
	p := waiting(uid, name, containers...)
	p.Admitted = true
	return p
}

func over(uid UID, name string) Pod {
	p := running(uid, name)
	p.Ended = true
	return p
}

func gave(uid UID, container string, ids ...string) CheckpointEntry {
	return CheckpointEntry{Pod: uid, Container: container, Resource: gpus, IDs: ids}
}
