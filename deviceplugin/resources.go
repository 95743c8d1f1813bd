package deviceplugin

import (
	"maps"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// Resources are the names by which pods ask for unshared devices that a node's GPUs are or can be divided into; the zero profile
// is a whole GPU. A name that is not always the same thing, or a share on some GPU, is not among them.
func Resources(s Settings, snapshot *gpu.Snapshot) map[string]mig.Profile {
	out, vague := map[string]mig.Profile{}, map[string]bool{}
	divided := false
	for i := range snapshot.GPUs {
		g := &snapshot.GPUs[i]
		rule := s.rule(g)
		if rule.Exclude {
			continue
		}
		divided = divided || g.MIG.Enabled
		profiles := []mig.Profile{{}}
		if s.Strategy == StrategyMixed {
			for _, p := range g.Geometry.Profiles {
				profiles = append(profiles, p.Profile)
			}
		}
		for _, p := range profiles {
			name, sharing := rule.apply(natural(p))
			had, twice := out[name]
			vague[name] = vague[name] || sharing.Replicas > 1 || twice && had != p || ValidateName(name) != nil
			out[name] = p
		}
	}
	maps.DeleteFunc(out, func(name string, _ mig.Profile) bool { return vague[name] })
	if s.Strategy == StrategySingle && divided { // there the name of whole GPUs is that of MIG devices
		return map[string]mig.Profile{}
	}
	return out
}
