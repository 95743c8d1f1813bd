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

// A device is held from the moment that Allocate answers until its pod ends, and the account says whose it is.
func TestClaimFromAllocateToEnd(t *testing.T) {
	inRig(t, func(r *rig) {
		r.start()
		r.complete(false)
		r.list()
		r.says(gpus)
		r.complete(true)
		r.list(waiting("u1", "a"))
		r.claims.Open(gpus, []string{"g0"})
		r.is("g0", "u1/main?") // the only pod that waits, before anything else happened
		r.wrote(gave("u1", "main", "g0"))
		r.is("g0", "u1/main")
		r.list(running("u1", "a"))
		r.says(gpus, "g0 a/main")
		r.after(time.Hour)
		r.is("g0", "u1/main")
		r.list(over("u1", "a"))
		r.held("g0", false)
		for _, s := range []string{
			`msg="claim opened" resource=nvidia.com/gpu id=g0`, `msg="claim confirmed"`,
			`msg="claim closed" resource=nvidia.com/gpu id=g0 namespace=ns pod=a container=main uid=u1 reason="its pod ended"`,
		} {
			if !r.log.has(s) {
				t.Errorf("no log line with %s", s)
			}
		}
	})
}

// An init container's device is given to the next container of its pod; one that goes on (a sidecar) keeps its own.
func TestContainersOfOnePodShareInTurn(t *testing.T) {
	inRig(t, func(r *rig) {
		r.start()
		p := waiting("u1", "a", "init", "init-side", "main")
		p.Containers[1].Sidecar = true
		r.list(p, waiting("u2", "b", "main"))
		r.says(gpus)
		r.claims.Open(gpus, []string{"g0"})
		r.is("g0", "/?") // two pods wait
		r.wrote(gave("u1", "init", "g0"))
		r.is("g0", "u1/init")
		r.claims.Open(gpus, []string{"g0"}) // taken over, so it is this pod's
		r.wrote(gave("u1", "init", "g0"), gave("u1", "init-side", "g0"))
		r.claims.Open(gpus, []string{"g1"})
		r.wrote(gave("u1", "init", "g0"), gave("u1", "init-side", "g0"), gave("u1", "main", "g1"))
		r.is("g0", "u1/init", "u1/init-side")
		r.is("g1", "u1/main")
		// podresources leaves init containers out; that ends nothing.
		r.says(gpus, "g0 a/init-side", "g1 a/main")
		r.after(time.Hour)
		r.is("g0", "u1/init", "u1/init-side")
		r.list(over("u1", "a"), waiting("u2", "b", "main"))
		r.held("g0", false)
		r.held("g1", false)
	})
}

// The agent dies after it answered Allocate and before it wrote anything: the kubelet's accounts tell the next one.
func TestCrashBetweenAllocateAndSave(t *testing.T) {
	for _, from := range []string{"checkpoint", "podresources"} {
		t.Run(from, func(t *testing.T) {
			inRig(t, func(r *rig) {
				if from == "checkpoint" {
					r.wrote(gave("u1", "main", "g0"), CheckpointEntry{Pod: "u1", Container: "main", Resource: "other/nic", IDs: []string{"n0"}})
				} else {
					r.says(gpus, "g0 a/main")
				}
				r.start()
				r.complete(true)
				r.held("g0", true)
				r.held("n0", false) // not ours
				r.list(running("u1", "a"))
				r.after(10 * time.Second)
				r.is("g0", "u1/main")
				set, _ := r.claims.Feed().Get()
				if c := set.ByID["g0"][0]; !c.Foreign || c.Name != "a" {
					t.Errorf("%+v does not say that it was found, and whose it is", c)
				}
			})
		})
	}
}

// Nothing is complete before somebody's account of the kubelet was seen, or there is no kubelet.
func TestCompleteNeedsTheKubeletsAccount(t *testing.T) {
	inRig(t, func(r *rig) {
		if err := os.WriteFile(r.checkpoint, []byte(`{"PodDeviceEntries":[]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		r.start()
		r.list()
		r.after(time.Minute)
		r.complete(false)
		if !r.log.has("checkpoint cannot be used") {
			t.Error("nobody says why")
		}
		r.says(gpus)
		r.complete(true)
	})
	inRig(t, func(r *rig) {
		r.start()
		r.complete(false)
		r.assigned.feed.Set(&Assigned{Absent: true, Reason: "no socket"})
		synctest.Wait()
		r.complete(true)
	})
}

// A restart of the agent changes nothing; containers that restart make no Allocate.
func TestAgentRestart(t *testing.T) {
	inRig(t, func(r *rig) {
		r.wrote()
		r.start()
		r.list(waiting("u1", "a"))
		r.says(gpus)
		r.claims.Open(gpus, []string{"g0"})
		r.wrote(gave("u1", "main", "g0"))
		r.claims.Open(gpus, []string{"g1"}) // nobody knows whose this is yet
		r.stop()
		r.pods.Set(&Pods{Reason: "away"})
		r.assigned.feed.Set(&Assigned{Reason: "away"})
		r.start()
		r.is("g0", "u1/main")
		r.is("g1", "/?")
		r.after(time.Hour) // no source came back
		r.held("g0", true)
		r.held("g1", true)
	})
}

// The kubelet restarts: sources go, come back empty or not yet complete, and nothing is let go.
func TestKubeletRestart(t *testing.T) {
	inRig(t, func(r *rig) {
		r.wrote(gave("u1", "main", "g0"))
		r.start()
		r.list(running("u1", "a"))
		r.says(gpus, "g0 a/main")
		r.pods.Set(&Pods{Reason: "connection lost", ByUID: map[UID]Pod{}}) // not synced, and without the pod
		r.assigned.feed.Set(&Assigned{Reason: "away"})
		r.after(time.Hour)
		r.is("g0", "u1/main")
		// podresources may answer before the kubelet knows its pods.
		r.says(gpus)
		r.after(time.Hour)
		r.is("g0", "u1/main")
		r.list(running("u1", "a"))
		r.says(gpus, "g0 a/main")
		r.after(time.Hour)
		r.is("g0", "u1/main")
	})
}

// A pod was deleted by force while nobody told: the list does not have it, and the kubelet's own accounts must agree.
func TestMissedEnd(t *testing.T) {
	inRig(t, func(r *rig) {
		r.wrote(gave("u1", "main", "g0"))
		r.start()
		r.list(running("u1", "a"))
		r.says(gpus, "g0 a/main")
		r.list()
		r.after(time.Hour)
		r.held("g0", true) // podresources names it
		r.says(gpus, " a")
		r.after(time.Hour)
		r.held("g0", true) // it counts as active, whatever it has
		r.says(gpus)
		r.after(30 * time.Second)
		r.held("g0", true) // the checkpoint names it: old, but not for long enough
		r.wrote()
		r.after(20 * time.Second)
		r.held("g0", false)
	})
	inRig(t, func(r *rig) { // the kubelet has no cause to write its file again
		r.wrote(gave("u1", "main", "g0"))
		r.start()
		r.list()
		r.says(gpus)
		r.after(50 * time.Second)
		r.held("g0", true)
		r.after(30 * time.Second)
		r.held("g0", false)
		r.after(time.Hour)
		r.held("g0", false) // and that old entry opens nothing
	})
}

// A successor of the same name is not the pod that held the device.
func TestSuccessorOfTheSameName(t *testing.T) {
	inRig(t, func(r *rig) {
		r.wrote(gave("u1", "main", "g0"))
		r.start()
		r.list(running("u1", "web-0"))
		r.says(gpus, "g0 web-0/main")
		r.list(over("u1", "web-0"), waiting("u2", "web-0"))
		r.held("g0", false)
		r.claims.Open(gpus, []string{"g1"})
		r.wrote(gave("u2", "main", "g1"))
		r.after(5 * time.Minute) // podresources' last answer is from before
		r.is("g1", "u2/main")
		r.says(gpus, "g1 web-0/main")
		r.after(5 * time.Minute)
		r.held("g0", false)
		r.list(over("u2", "web-0"))
		r.held("g1", false)
	})
}

// The kubelet lost its file: pods that live keep their devices, and one that is given twice is held for both.
func TestLostCheckpoint(t *testing.T) {
	inRig(t, func(r *rig) {
		r.wrote(gave("u1", "main", "g0"))
		r.start()
		r.list(running("u1", "a"))
		r.says(gpus, "g0 a/main")
		if err := os.Remove(r.checkpoint); err != nil {
			t.Fatal(err)
		}
		r.says(gpus)
		r.after(time.Hour)
		r.is("g0", "u1/main")
		r.list(running("u1", "a"), waiting("u2", "b"))
		r.claims.Open(gpus, []string{"g0"})
		r.wrote(gave("u2", "main", "g0"))
		r.list(running("u1", "a"), running("u2", "b"))
		r.is("g0", "u1/main", "u2/main")
		r.list(over("u1", "a"), running("u2", "b"))
		r.is("g0", "u2/main")
		r.list(over("u2", "b"))
		r.held("g0", false)
	})
}

// The kubelet refused the pod after our answer: the device comes back, but not before that is certain.
func TestRefusedAllocation(t *testing.T) {
	refused := func(r *rig) {
		r.wrote()
		r.start()
		r.list(waiting("u1", "a"))
		r.says(gpus)
		r.claims.Open(gpus, []string{"g0"})
		r.list(over("u1", "a"))
		r.is("g0", "/?") // the pod was a guess, so its end proves nothing
	}
	inRig(t, func(r *rig) {
		refused(r)
		r.after(55 * time.Second)
		r.held("g0", true)
		r.after(20 * time.Second)
		r.held("g0", false)
		if !r.log.has("refused or given up") {
			t.Error("nobody says why")
		}
	})
	for name, doubtful := range map[string]func(r *rig){
		"an allocation is under way": func(r *rig) { r.gate.Enter() },
		"pods are not known":         func(r *rig) { r.pods.Set(&Pods{Reason: "away"}) },
		"podresources is away":       func(r *rig) { r.assigned.feed.Set(&Assigned{Reason: "away"}) },
		"podresources names it":      func(r *rig) { r.says(gpus, "g0 x/main") },
		"podresources is silent": func(r *rig) {
			r.assigned.feed.Set(&Assigned{Synced: true, At: time.Now()})
			r.assigned.next.Synced = false
		},
		"an init container may have it, and there is no checkpoint": func(r *rig) {
			if err := os.Remove(r.checkpoint); err != nil {
				r.t.Fatal(err)
			}
			r.list(over("u1", "a"), running("u2", "b", "init"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(r *rig) {
				refused(r)
				doubtful(r)
				r.after(time.Hour)
				r.held("g0", true)
				if why := r.claims.Describe("g0"); len(why) == 0 || why[0].Why == "" {
					t.Errorf("no reason: %+v", why)
				}
			})
		})
	}
}

// A guess that was wrong is put right, and the end of the wrong pod lets nothing go.
func TestWrongGuess(t *testing.T) {
	inRig(t, func(r *rig) {
		r.wrote()
		r.start()
		r.list(waiting("u1", "a"))
		r.says(gpus)
		r.claims.Open(gpus, []string{"g0"}) // for u2, of which no source has told
		r.is("g0", "u1/main?")
		r.list(over("u1", "a"))
		r.held("g0", true)
		r.list(over("u1", "a"), running("u2", "b"))
		r.wrote(gave("u2", "main", "g0"))
		r.is("g0", "u2/main")
	})
}

// A file that the kubelet wrote before the Allocate says nothing about it.
func TestOldCheckpointConfirmsNothing(t *testing.T) {
	inRig(t, func(r *rig) {
		r.wrote(gave("u1", "main", "g0"))
		r.start()
		r.list(running("u1", "a"))
		r.says(gpus, "g0 a/main")
		r.list(over("u1", "a"))
		r.held("g0", false)
		r.after(time.Second)
		r.pods.Set(&Pods{Reason: "away"}) // nothing is known of u1 now
		r.claims.Open(gpus, []string{"g0"})
		r.after(time.Minute)
		r.is("g0", "/?")
	})
}

// After a reboot only what the kubelet will admit again is held.
func TestReboot(t *testing.T) {
	inRig(t, func(r *rig) {
		r.wrote(gave("u1", "main", "g0"), gave("u2", "main", "g1"))
		r.start()
		r.list(running("u1", "a"), running("u2", "b"))
		r.claims.Open(gpus, []string{"g2"})
		r.after(time.Second)
		r.stop()
		r.boot = "boot-2"
		r.pods.Set(&Pods{Reason: "away"})
		r.wrote(gave("u1", "main", "g0"))
		r.start()
		r.is("g0", "u1/main")
		r.held("g1", false)
		r.held("g2", false)
		r.stop()
		r.boot = "boot-3"
		if err := os.WriteFile(r.checkpoint, []byte("?"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.start()
		r.held("g0", true) // nobody can tell
	})
}

// A state file that makes no sense costs nothing that the kubelet knows, and is kept aside.
func TestBadStateFile(t *testing.T) {
	inRig(t, func(r *rig) {
		if err := os.MkdirAll(r.state, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(r.state, claimsFile), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.wrote(gave("u1", "main", "g0"))
		r.start()
		r.is("g0", "u1/main")
		if _, err := os.Stat(filepath.Join(r.state, claimsFile+".bad")); err != nil {
			t.Error(err)
		}
	})
}

// A state folder that cannot be written is tried again.
func TestStateIsWrittenLater(t *testing.T) {
	inRig(t, func(r *rig) {
		if err := os.WriteFile(r.state, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		r.wrote(gave("u1", "main", "g0"))
		r.start()
		r.held("g0", true)
		if err := os.Remove(r.state); err != nil {
			t.Fatal(err)
		}
		r.after(saveAgain + time.Second)
		s, err := loadClaims(r.state)
		if err != nil || len(s.Claims) != 1 || s.Claims[0].Pod != "u1" || s.BootID != "boot-1" {
			t.Fatalf("%+v, %v", s, err)
		}
	})
}

// PreStart asks for whom it is called.
func TestOwner(t *testing.T) {
	ask := func(r *rig, want string, ids ...string) {
		r.t.Helper()
		got := ""
		if c, ok := r.claims.Owner(r.t.Context(), gpus, ids); ok {
			got = string(c.Pod) + "/" + c.Container
		}
		if got != want {
			r.t.Errorf("the owner of %v is %q, want %q; %+v", ids, got, want, r.claims.Describe(""))
		}
	}
	inRig(t, func(r *rig) {
		r.wrote()
		r.start()
		r.list(waiting("u1", "a"), waiting("u2", "b"))
		r.claims.Open(gpus, []string{"g0"})
		ask(r, "", "g0")
		ask(r, "", "g1")
		ask(r, "")
		// The kubelet wrote its file; the loop has not looked yet.
		if err := os.WriteFile(r.checkpoint, encodeCheckpoint(t, []CheckpointEntry{gave("u2", "main", "g0")}), 0o600); err != nil {
			t.Fatal(err)
		}
		ask(r, "u2/main", "g0")
		// Only podresources knows.
		r.claims.Open(gpus, []string{"g1"})
		r.assigned.next = Assigned{Synced: true, Devices: map[DeviceKey][]Assignment{{gpus, "g1"}: {{"ns", "a", "main"}}}}
		time.Sleep(time.Second)
		ask(r, "u1/main", "g1")
		ask(r, "", "g0", "g1") // no container has both
	})
	inRig(t, func(r *rig) { // an init container and the one after it
		r.wrote(gave("u1", "init", "g0", "g1"), gave("u1", "main", "g1", "g0"))
		r.start()
		p := running("u1", "a", "init", "main")
		r.list(p)
		ask(r, "u1/init", "g1", "g0")
		p.Containers = append([]Container(nil), p.Containers...)
		p.Containers[0].ID = "made"
		r.list(p)
		ask(r, "u1/main", "g0", "g1")
		p.Containers = append([]Container(nil), p.Containers...)
		p.Containers[1].ID = "made too"
		r.list(p)
		ask(r, "u1/main", "g0", "g1")
	})
}
