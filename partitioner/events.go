package partitioner

import (
	"fmt"

	"github.com/gpulet/gpulet/kubelet"
)

// maxMessage is how long an Event's message is at most, in bytes: the API server takes 1,024.
const maxMessage = 900

// tell says to pods that wait why, and on the Node which GPU does not become what is wanted: each reason once.
func (p *Partitioner) tell(v *View) {
	if p.cfg.Events == nil {
		return
	}
	for _, d := range v.Demands {
		if d.Reason == "" || p.told[d.UID][d.Reason] {
			continue
		}
		if p.told[d.UID] == nil {
			p.told[d.UID] = map[string]bool{}
		}
		p.told[d.UID][d.Reason] = true
		p.cfg.Events.Pod(d.Namespace, d.Pod, kubelet.UID(d.UID), true, "GPUNotAvailable", shorten(d.Reason))
	}
	for _, g := range v.GPUs {
		if g.Trouble == p.refused[g.UUID] {
			continue
		}
		if p.refused[g.UUID] = g.Trouble; g.Trouble != "" {
			p.cfg.Events.Node(true, "GPUNotPartitioned", shorten(fmt.Sprintf("GPU %d: %s", g.Index, g.Trouble)))
		}
	}
}

// shorten cuts a text to what an Event takes.
func shorten(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	cut := maxMessage - len("...")
	for cut > 0 && s[cut]&0xC0 == 0x80 { // not within a letter
		cut--
	}
	return s[:cut] + "..."
}
