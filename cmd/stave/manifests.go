package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
)

// maxManifest is the most bytes of manifests that one command reads.
const maxManifest = 48 << 20

// files are the -f and -R flags of the verbs that read manifests.
type files struct {
	Filename  []string `short:"f" sep:"none" help:"Manifest file, directory, or - for standard input; repeatable." placeholder:"FILE"`
	Recursive bool     `short:"R" help:"Go into the directories below the ones in -f."`
}

// load reads and decodes all manifests. Every problem in every file is
// reported; nothing is used unless all of it can be read.
func (f files) load(s *session) ([]manifest.Doc, error) {
	var texts []text
	for _, name := range f.Filename {
		paths, err := f.expand(name)
		if err != nil {
			return nil, err
		}
		for _, p := range paths {
			data, err := f.read(s, p)
			if err != nil {
				return nil, err
			}
			texts = append(texts, text{shown(p), data})
		}
	}
	docs, problems := decodeTexts(texts)
	if len(problems) > 0 {
		if len(docs) > 0 {
			problems = append(problems, errors.New("nothing was sent to the cluster, neither the objects that can be read: correct the manifests first"))
		}
		return nil, errors.Join(problems...)
	}
	if len(docs) == 0 {
		return nil, fmt.Errorf("no objects in %s", strings.Join(f.Filename, ", "))
	}
	return docs, nil
}

// text is one file of manifests.
type text struct {
	name string
	data []byte
}

// decodeTexts decodes all files. A kind that this release does not have may be one
// of the cluster's own, or be defined beside its objects.
func decodeTexts(texts []text) ([]manifest.Doc, []error) {
	docs, problems, strange := decodeWith(events.Catalogue{}, texts)
	if !strange {
		return docs, problems
	}
	known.defined(docs)
	kinds, err := known.all()
	docs, problems, strange = decodeWith(kinds, texts)
	if strange && err != nil {
		problems = append(problems, fmt.Errorf("a kind may be one of the cluster's own: %w", err))
	}
	return docs, problems
}

// decodeWith decodes all files; strange tells whether a kind is not among kinds.
func decodeWith(kinds events.Catalogue, texts []text) (docs []manifest.Doc, problems []error, strange bool) {
	for _, t := range texts {
		d, bad := manifest.DecodeOf(kinds, t.name, t.data)
		docs = append(docs, d...)
		for _, b := range bad {
			strange = strange || b.Kind
			problems = append(problems, b)
		}
	}
	return docs, problems, strange
}

func shown(path string) string {
	if path == "-" {
		return "STDIN"
	}
	return path
}

func (f files) read(s *session, path string) ([]byte, error) {
	if path == "-" {
		return s.readStdin()
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the path %q cannot be read: %w", path, err)
	}
	defer file.Close()
	b, err := readBounded(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}

func readBounded(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err == nil && len(b) > maxManifest {
		err = fmt.Errorf("%w: over %d MiB of manifests; split them", errTooLarge, maxManifest>>20)
	}
	return b, err
}

// manifestSuffixes are the files that a directory is searched for.
var manifestSuffixes = []string{".yaml", ".yml", ".json"}

// expand names the files behind a -f, in order.
func (f files) expand(name string) ([]string, error) {
	if name == "-" {
		return []string{name}, nil
	}
	if strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://") {
		return nil, fmt.Errorf("-f %s: manifests are not fetched from the web\nhelp: curl -fsSL %s | stave apply -f -", name, name)
	}
	st, err := os.Stat(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return f.pattern(name)
		}
		return nil, fmt.Errorf("look at %s: %w", name, err)
	}
	if !st.IsDir() {
		return []string{name}, forKustomize(name)
	}
	var out []string
	err = filepath.WalkDir(name, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != name && !f.Recursive:
			return fs.SkipDir
		case !d.IsDir() && slices.Contains(manifestSuffixes, filepath.Ext(p)):
			out = append(out, p)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read directory %s: %w", name, err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no manifests (%s) in directory %s", strings.Join(manifestSuffixes, ", "), name)
	}
	for _, p := range out {
		if err := forKustomize(p); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// pattern names the files behind a -f that is no file itself: several with commas between them, or a pattern that no shell has
// seen, as kubectl takes them.
func (f files) pattern(name string) ([]string, error) {
	names := strings.Split(name, ",")
	if len(names) == 1 {
		var err error
		if names, err = filepath.Glob(name); err != nil || len(names) == 0 {
			return nil, fmt.Errorf("the path %q does not exist", name)
		}
	}
	var out []string
	for _, n := range names {
		paths, err := f.expand(n)
		if err != nil {
			return nil, err
		}
		out = append(out, paths...)
	}
	return out, nil
}

// forKustomize refuses a file that is no manifest, but says how to make some.
func forKustomize(path string) error {
	switch dir, base := filepath.Split(path); base {
	case "kustomization.yaml", "kustomization.yml":
		return fmt.Errorf("%s says how to make manifests, and is none\nhelp: kustomize build %s | stave apply -f -", path, cmp.Or(dir, "."))
	}
	return nil
}
