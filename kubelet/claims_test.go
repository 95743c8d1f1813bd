package kubelet

import (
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

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

// The kubelet lost its record of a device that a pod has: that is said of the claim, until the record is there again.
func TestUnrecordedClaims(t *testing.T) {
	inRig(t, func(r *rig) {
		unrecorded := func(want bool) {
			t.Helper()
			synctest.Wait()
			set, _ := r.claims.Feed().Get()
			if c := set.ByID["g0"]; len(c) != 1 || c[0].Unrecorded != want {
				t.Errorf("claims of g0: %+v, want unrecorded %v", c, want)
			}
		}
		r.wrote(gave("u1", "init", "g0"))
		r.start()
		r.list(running("u1", "a", "init"))
		r.says(gpus)
		r.after(time.Minute)
		unrecorded(false) // podresources leaves init containers out; the checkpoint does not
		r.wrote()
		r.says(gpus)
		r.after(time.Minute)
		unrecorded(true)
		r.held("g0", true)
		r.wrote(gave("u1", "init", "g0"))
		r.after(time.Minute)
		unrecorded(false)
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

// Kubelets before 1.34 go on listing pods that ended.
func TestOldKubeletListsEndedPods(t *testing.T) {
	inRig(t, func(r *rig) {
		r.says(gpus, "g0 a/main")
		r.start()
		r.held("g0", true) // no pods are known yet
		r.list(over("u1", "a"))
		r.after(2 * time.Minute)
		r.held("g0", false)
	})
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

// An Allocate must not wait: on a full node it takes microseconds.
func BenchmarkOpen(b *testing.B) {
	pods := &Pods{Synced: true, ByUID: map[UID]Pod{}}
	c := NewClaims(ClaimsConfig{Pods: gpu.NewFeed(pods)})
	for i := range 110 {
		uid := UID(fmt.Sprint("u", i))
		pods.ByUID[uid] = running(uid, string(uid))
		c.book.add(Claim{Resource: gpus, ID: fmt.Sprint("g", i), Pod: uid, Container: "main", Confirmed: true}, "test")
	}
	for b.Loop() {
		c.Open(gpus, []string{"new"})
		c.book.claims, c.book.notes = c.book.claims[:110], nil
	}
}
