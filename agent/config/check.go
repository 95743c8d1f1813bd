package config

import (
	"errors"
	"fmt"
	"net"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gpulet/gpulet/deviceplugin"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// domain begins the resource names that devices have by themselves.
const domain = "nvidia.com/"

func absolute(s string) error {
	if !filepath.IsAbs(s) {
		return fmt.Errorf("%q: want an absolute path", s)
	}
	return nil
}

func address(s string) error {
	if _, _, err := net.SplitHostPort(s); err != nil {
		return fmt.Errorf("%q: want an address such as :9400 or 127.0.0.1:9400", s)
	}
	return nil
}

func processName(s string) error {
	if strings.TrimSpace(s) == "" {
		return errors.New("want the name of a process")
	}
	return nil
}

func pattern(s string) error {
	if _, err := path.Match(s, ""); err != nil || s == "" {
		return fmt.Errorf("%q: want a pattern such as *A100*", s)
	}
	return nil
}

func gpuUUID(s string) error {
	if strings.HasPrefix(s, "MIG-") {
		return fmt.Errorf("%q is a MIG device, whose UUID is new at every creation: want its GPU's UUID", s)
	}
	if !regexp.MustCompile(`^GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(s) {
		return fmt.Errorf("%q: want a GPU's UUID such as GPU-5c0e8a7e-0e6b-4d5c-9b1f-2a3c4d5e6f70", s)
	}
	return nil
}

func pciAddress(s string) error {
	if !regexp.MustCompile(`^[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]$`).MatchString(s) {
		return fmt.Errorf("%q: want a PCI address such as 0000:07:00.0", s)
	}
	return nil
}

func namespaceName(s string) error {
	if len(validation.IsDNS1123Label(s)) > 0 {
		return fmt.Errorf("%q: want a namespace such as gpulet: lower case letters, digits and dashes, 63 at most", s)
	}
	return nil
}

// naturalName accepts the names that devices have by themselves.
func naturalName(s string) error {
	if s == domain+"gpu" {
		return nil
	}
	if profile, ok := strings.CutPrefix(s, domain+"mig-"); ok {
		for _, attribute := range []string{".me.all", ".me", ".gfx"} {
			if base, found := strings.CutSuffix(profile, attribute); found {
				profile = base + "+" + attribute[1:]
				break
			}
		}
		if p, err := mig.ParseProfile(profile); err == nil && domain+p.Resource() == s {
			return nil
		}
	}
	return fmt.Errorf("no device has the name %q: want nvidia.com/gpu or a name such as nvidia.com/mig-1g.10gb", s)
}

// sharedName accepts what can stand below sharing; whether a name that is not natural is known, the whole rule tells.
func sharedName(s string) error {
	if s == "*" {
		return nil
	}
	return deviceplugin.ValidateName(s)
}

// whole checks what concerns several settings at once. at finds where a path was set.
func (c *Config) whole(at func(path string) Origin) (out ProblemsError) {
	const strategy = "deviceListStrategy"
	if len(c.Plugin.Deliveries) == 0 {
		out = append(out, Problem{at(strategy), strategy, "at least one is needed"})
	}
	for i, d := range c.Plugin.Deliveries {
		if slices.Contains(c.Plugin.Deliveries[:i], d) {
			out = append(out, Problem{at(strategy), strategy, fmt.Sprintf("%s is there twice (auto is %s)", d, deviceplugin.CDICRI)})
		}
	}
	everything := -1
	for i, r := range c.Plugin.Rules {
		rule := route{"gpus", i}
		where := rule.String()
		if everything >= 0 {
			out = append(out, Problem{at(where), where, fmt.Sprintf("it never applies: gpus[%d] matches every GPU", everything)})
		}
		if matchesAll(r.Match) && everything < 0 {
			everything = i
		}
		if r.Exclude && (len(r.Names) > 0 || len(r.Sharing) > 0) {
			out = append(out, Problem{at(where), where, "names and sharing mean nothing for GPUs that are excluded"})
		}
		for key := range r.Sharing {
			if key != "*" && naturalName(key) != nil && !renamed(r.Names, key) {
				p := rule.to("sharing").to(key).String()
				out = append(out, Problem{at(p), p, "no device has this name: want nvidia.com/gpu, a name such as nvidia.com/mig-1g.10gb, one that names gives, or *"})
			}
		}
	}
	return append(out, c.divided(at)...)
}

func matchesAll(s gpu.Selector) bool {
	return len(s.Models)+len(s.UUIDs)+len(s.Indexes)+len(s.PCI) == 0
}

func renamed(names map[string]string, to string) bool {
	for _, name := range names {
		if name == to {
			return true
		}
	}
	return false
}
