package deviceplugin

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gpulet/gpulet/gpu"
)

// maxName is how long a resource name may be in all: the incumbent's limit, and what a label key made of it can hold.
const maxName = 63

// ValidateName says why a name cannot be that of a resource, with the rules of the kubelet for extended resources
// (IsExtendedResourceName) and at most 63 characters in all.
func ValidateName(name string) error {
	prefix, _, qualified := strings.Cut(name, "/")
	switch {
	case !qualified:
		return fmt.Errorf("resource name %q has no domain, such as in nvidia.com/gpu", name)
	case prefix == "kubernetes.io" || strings.HasSuffix(prefix, ".kubernetes.io"):
		return fmt.Errorf("resource name %q: the domain kubernetes.io belongs to Kubernetes", name)
	case strings.HasPrefix(name, "requests."):
		return fmt.Errorf("resource name %q: names that begin with \"requests.\" belong to quotas", name)
	case len(name) > maxName:
		return fmt.Errorf("resource name %q has %d characters, more than %d", name, len(name), maxName)
	}
	if faults := validation.IsQualifiedName(name); len(faults) > 0 {
		return fmt.Errorf("resource name %q: %s", name, strings.Join(faults, "; "))
	}
	return nil
}

// rule is the first that matches a GPU; the zero Rule when none does.
func (s Settings) rule(g *gpu.GPU) Rule {
	for _, r := range s.Rules {
		if r.Match.Matches(g) {
			return r
		}
	}
	return Rule{}
}

func (s Settings) delivers(ways ...Delivery) bool {
	return slices.ContainsFunc(ways, func(d Delivery) bool { return slices.Contains(s.Deliveries, d) })
}

// cdi reports whether any runtime is told a CDI name.
func (s Settings) cdi() bool { return s.delivers(CDICRI, CDIAnnotations) }
