package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"

	"github.com/stave-run/stave/events"
)

// patchCmd is `stave patch`.
type patchCmd struct {
	changeFlags
	files
	Part      subresource `name:"subresource" help:"Of the object: status, scale, or resize, which is what the containers of a pod may use while they run." enum:",status,scale,resize" default:"" placeholder:"NAME"`
	Type      string      `help:"strategic, merge or json." default:"strategic" enum:"strategic,merge,json"`
	Patch     string      `short:"p" help:"The patch, JSON or YAML." placeholder:"PATCH"`
	PatchFile string      `help:"File that holds the patch." placeholder:"FILE"`
	What      []string    `arg:"" optional:"" help:"TYPE/NAME… or TYPE NAME…"`
}

// Help implements kong's detailed help.
func (patchCmd) Help() string {
	return `Examples:
  stave patch deployment/web -p '{"spec":{"replicas":3}}'
  stave patch pod/web-1 --subresource=resize -p '{"spec":{"containers":[{"name":"web","resources":{"limits":{"cpu":"2"}}}]}}'
  stave patch deployment/web --subresource=scale --type=merge -p '{"spec":{"replicas":2}}'
  stave patch node/n1 --subresource=status -p '{"status":{"capacity":{"example.com/gpu":"4"}}}'
  stave patch cm/colours --type=merge -p '{"data":{"sky":null}}'
  stave patch svc/web --type=json -p '[{"op":"replace","path":"/spec/ports/0/port","value":8080}]'`
}

// Run patches what is there; the server sees only the whole that comes of it.
func (c *patchCmd) Run(ctx context.Context, s *session) error {
	patch, err := c.patch()
	if err != nil {
		return err
	}
	items, err := s.items(ctx, c.files, c.What)
	if err != nil {
		return err
	}
	if err := c.Part.ofAll(items); err != nil {
		return err
	}
	if c.Part == partScale {
		return c.patchScale(ctx, s, items, patch)
	}
	w := rewriting{changeFlags: c.changeFlags, done: "patched", same: "patched (no change)", part: c.Part}
	return w.each(ctx, s, items, func(k events.Key, object tree) error {
		live, err := json.Marshal(object)
		if err != nil {
			return fmt.Errorf("encode %s: %w", k, err)
		}
		raw, err := c.apply(k, live, patch)
		if err != nil {
			return fmt.Errorf("patch %s: %w", printedName(k), err)
		}
		return become(object, raw)
	})
}

// patch is the patch as JSON.
func (c *patchCmd) patch() ([]byte, error) {
	text := []byte(c.Patch)
	if c.PatchFile != "" {
		if c.Patch != "" {
			return nil, errors.New("cannot specify --patch and --patch-file together")
		}
		b, err := os.ReadFile(c.PatchFile)
		if err != nil {
			return nil, fmt.Errorf("read patch: %w", err)
		}
		text = b
	}
	if len(text) == 0 {
		return nil, errors.New("must specify --patch or --patch-file containing the contents of the patch")
	}
	raw, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, fmt.Errorf("unable to parse %q: %w", text, err)
	}
	return raw, nil
}

func (c *patchCmd) apply(k events.Key, live, patch []byte) ([]byte, error) {
	kind, ok := kindOf(k.Resource)
	if c.Type != "json" && c.Type != "merge" && (!ok || kind.Custom()) {
		return nil, errors.New("a strategic patch needs to know how lists merge, and nobody knows that of an object of a definition\nhelp: stave patch --type=merge, or --type=json")
	}
	return c.patched(live, patch, kind.New())
}

// patched is what a patch makes of something whose lists merge as those of like do.
func (c *patchCmd) patched(live, patch []byte, like any) ([]byte, error) {
	switch c.Type {
	case "json":
		p, err := jsonpatch.DecodePatch(patch)
		if err != nil {
			return nil, fmt.Errorf("read JSON patch: %w", err)
		}
		return p.Apply(live)
	case "merge":
		return jsonpatch.MergePatch(live, patch)
	}
	return strategicpatch.StrategicMergePatch(live, patch, like)
}

// become makes an object another one.
func become(object tree, raw []byte) error {
	next, err := decodeTree(raw)
	if err != nil {
		return err
	}
	clear(object)
	for name, v := range next {
		object[name] = v
	}
	return nil
}
