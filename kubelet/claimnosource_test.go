package kubelet

import (
	"fmt"
	"testing"
	"time"
)

// An old kubelet and no access to the API server: nobody tells of pods. Each device stays held, by its last pods alone.
func TestClaimsDoNotPileUpWithoutPods(t *testing.T) {
	inRig(t, func(r *rig) {
		r.wrote()
		r.start()
		r.says(gpus)
		for i := range 20 {
			uid := UID(fmt.Sprint("u", i))
			r.claims.Open(gpus, []string{"g0"})
			r.wrote(gave(uid, "main", "g0"), gave("other", "main", "g1"))
			r.says(gpus, fmt.Sprintf("g0 p%d/main", i), "g1 q/main")
			r.after(2 * time.Minute)
			r.is("g0", string(uid)+"/main")
			r.is("g1", "other/main")
		}
		r.claims.Open(gpus, []string{"g0"}) // one that the kubelet refuses
		r.after(5 * time.Minute)
		r.is("g0", "u19/main", "/?")
		r.claims.Open(gpus, []string{"g0"})
		r.wrote(gave("u20", "main", "g0"))
		r.after(2 * time.Minute)
		r.held("g0", true)
		if n := len(r.claims.Describe("g0")); n > 2 {
			t.Errorf("%d claims of one device", n)
		}
	})
	inRig(t, func(r *rig) { // given twice, and both have it by the kubelet's account
		r.wrote(gave("u1", "main", "g0"))
		r.start()
		r.claims.Open(gpus, []string{"g0"})
		r.wrote(gave("u1", "main", "g0"), gave("u2", "main", "g0"))
		r.says(gpus, "g0 a/main", "g0 b/main")
		r.after(time.Hour)
		r.is("g0", "u1/main", "u2/main")
	})
	inRig(t, func(r *rig) { // a source that is away for a while told of pods before: it will again
		r.wrote(gave("u1", "main", "g0"))
		r.start()
		r.list(running("u1", "a"))
		r.pods.Set(&Pods{Source: "test", Reason: "away", ByUID: map[UID]Pod{"u1": running("u1", "a")}})
		r.claims.Open(gpus, []string{"g0"})
		r.wrote(gave("u2", "main", "g0"))
		r.says(gpus, "g0 b/main")
		r.after(time.Hour)
		r.is("g0", "u1/main", "u2/main")
	})
}
