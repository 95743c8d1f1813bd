package agent

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gpulet/gpulet/deviceplugin"
)

// Explain says why something is as it is, in sentences: a GPU (index or UUID), a device id, a resource, a pod (namespace/name).
// It is false when nothing on this node has that name.
func (s Status) Explain(what string) ([]string, bool) {
	var e explainer
	for i := range s.GPUs {
		if g := &s.GPUs[i]; string(g.UUID) == what || strconv.Itoa(g.Index) == what {
			e.gpu(&s, g)
		}
	}
	for _, r := range s.Resources {
		if r.Name == what {
			e.resource(&s, r)
		}
		for _, d := range r.Devices {
			if d.ID == what {
				e.device(&s, r, d)
			}
		}
	}
	e.leaving(&s, what)
	e.pod(&s, what)
	return e.lines, len(e.lines) > 0
}

// explainer collects sentences.
type explainer struct{ lines []string }

func (e *explainer) say(format string, args ...any) {
	if line := fmt.Sprintf(format, args...); !slices.Contains(e.lines, line) {
		e.lines = append(e.lines, line)
	}
}

func (e *explainer) gpu(s *Status, g *GPU) {
	e.say("GPU %d is %s, a %s.", g.Index, g.UUID, or(g.Model, "GPU that does not tell its model"))
	if g.Health.State == "Healthy" {
		e.say("It is healthy.")
	} else {
		e.say("It is %s%s: %s.", strings.ToLower(g.Health.State), since(g.Health.Since), g.Health.Reason)
	}
	for _, in := range g.Instances {
		if in.Health.State != "Healthy" {
			e.say("GPU instance %d (%s) is %s%s: %s.", in.ID, in.Slot, strings.ToLower(in.Health.State), since(in.Health.Since), in.Health.Reason)
		}
	}
	for _, w := range s.Withheld {
		if w.GPU == g.UUID {
			e.say("%s is not offered: %s.", w.What, w.Reason)
		}
	}
	for _, gap := range g.Gaps {
		e.say("Not known of it: %s.", gap)
	}
	for _, r := range s.Resources {
		for _, d := range r.Devices {
			if d.GPU == g.UUID {
				e.device(s, r, d)
			}
		}
	}
}

func (e *explainer) device(s *Status, r Resource, d deviceplugin.DeviceView) {
	switch {
	case !d.Healthy:
		e.say("Device %s is listed as %s, as unhealthy: %s.", d.ID, r.Name, d.Reason)
	case len(d.Claims) > 0:
		e.say("Device %s is listed as %s, and is held.", d.ID, r.Name)
	default:
		e.say("Device %s is listed as %s and may be given to a pod.", d.ID, r.Name)
	}
	for _, c := range s.Claims {
		if c.ID == d.ID && c.Resource == r.Name {
			e.say("%s holds it%s%s.", holder(c.Namespace, c.Name, c.Container), since(c.Opened), because(c.Why))
		}
	}
	for _, m := range s.Moves {
		if m.ID == d.ID {
			e.say("It is %s in %s%s%s.", m.Stage, m.Resource, since(m.Since), because(m.Reason))
		}
	}
	e.registration(r)
}

func (e *explainer) resource(s *Status, r Resource) {
	free, held, bad := 0, 0, 0
	for _, d := range r.Devices {
		switch {
		case !d.Healthy:
			bad++
		case len(d.Claims) > 0:
			held++
		default:
			free++
		}
	}
	e.say("%s has %s: %d free, %d held, %d unhealthy.", r.Name, plural(len(r.Devices), "device"), free, held, bad)
	e.registration(r)
	for _, d := range r.Devices {
		if !d.Healthy {
			e.say("Device %s is unhealthy: %s.", d.ID, d.Reason)
		}
	}
	for _, m := range s.Moves {
		if m.Resource == r.Name {
			e.say("Device %s is %s%s%s.", m.ID, m.Stage, since(m.Since), because(m.Reason))
		}
	}
}

func (e *explainer) registration(r Resource) {
	switch g := r.Registration; {
	case !g.Registered:
		e.say("%s is not registered with the kubelet: %s.", r.Name, or(g.Reason, "it has not answered yet"))
	case g.Renewals > 0:
		e.say("%s is registered with the kubelet%s; it was renewed %s, last because: %s.", r.Name, since(g.Since), plural(g.Renewals, "time"), or(g.Reason, "no reason was kept"))
	default:
		e.say("%s is registered with the kubelet%s.", r.Name, since(g.Since))
	}
}

// leaving explains devices that are not listed now.
func (e *explainer) leaving(s *Status, what string) {
	for _, w := range s.Withheld {
		if w.What == what || strings.HasSuffix(w.What, " "+what) {
			e.say("%s of %s is not offered: %s.", w.What, w.GPU, w.Reason)
		}
	}
}

func (e *explainer) pod(s *Status, what string) {
	for _, c := range s.Claims {
		if c.Namespace+"/"+c.Name == what || string(c.Pod) == what && what != "" {
			e.say("%s holds %s of %s%s%s.", holder(c.Namespace, c.Name, c.Container), c.ID, c.Resource, since(c.Opened), because(c.Why))
			for _, r := range s.Resources {
				for _, d := range r.Devices {
					if d.ID == c.ID && r.Name == c.Resource && !d.Healthy {
						e.say("The device is unhealthy: %s.", d.Reason)
					}
				}
			}
		}
	}
}

func holder(namespace, name, container string) string {
	switch {
	case name == "":
		return "A pod that is not known yet"
	case container == "":
		return "Pod " + namespace + "/" + name
	}
	return "Container " + container + " of pod " + namespace + "/" + name
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

func since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " since " + t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
