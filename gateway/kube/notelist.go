package kube

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/storage"

	"github.com/stave-run/stave/events"
)

// tooLarge says that a position is not there yet.
func tooLarge(asked, have events.Position) error {
	return storage.NewTooLargeResourceVersionError(uint64(asked), uint64(have), 1)
}

// sheet is what a list shows, in order: all of its pages show the same.
type sheet struct {
	objects []events.Object // as they lie on the shelf, by namespace and name
	at      events.Position
}

// keptSheets bounds the lists under way whose sheet is kept. There is no other way
// back: of the shelf nothing is remembered.
const keptSheets = 16

// sheets are those of lists that are read page by page, newest last.
type sheets struct {
	mu   sync.Mutex
	last uint64
	kept map[uint64]sheet
}

// keep remembers a sheet under a number of its own.
func (s *sheets) keep(one sheet) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept = map[uint64]sheet{}
	}
	s.last++
	s.kept[s.last] = one
	delete(s.kept, s.last-keptSheets)
	return s.last
}

func (s *sheets) get(number uint64) (sheet, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.kept[number]
	return one, ok
}

// sheetToken is what a client hands back for the next page.
type sheetToken struct {
	Sheet uint64 `json:"s"` // 0: a new one, of what there is when it is handed back
	Run   int64  `json:"r"` // of the server: another one knows no such sheet
	Next  int    `json:"n"`
	// The last object shown: where to go on without the sheet.
	Namespace string `json:"ns,omitempty"`
	Name      string `json:"a"`
}

func (t sheetToken) String() string { return base64.RawURLEncoding.EncodeToString(events.MustBody(t)) }

// after compares an object's place in a list with that of the last one shown.
func (t sheetToken) after(o events.Object) int {
	return cmp.Or(cmp.Compare(o.GetNamespace(), t.Namespace), cmp.Compare(o.GetName(), t.Name))
}

// List implements rest.Lister.
func (n *notes) List(ctx context.Context, opts *internalversion.ListOptions) (runtime.Object, error) {
	if opts == nil {
		opts = &internalversion.ListOptions{}
	}
	want := n.selection(ctx, opts)
	s, token, err := n.sheetOf(ctx, want, opts)
	if err != nil {
		return nil, err
	}
	var items []events.Object
	next, more := token.Next, false
	for ; next < len(s.objects); next++ {
		o := n.show(s.objects[next])
		if !want.has(o) {
			continue
		}
		if more = opts.Limit > 0 && len(items) == int(opts.Limit); more {
			break
		}
		items = append(items, o)
	}
	list := n.NewList()
	fill(list, items)
	m, err := meta.ListAccessor(list)
	if err != nil {
		return nil, err
	}
	m.SetResourceVersion(s.at.String())
	if more {
		if token.Sheet == 0 {
			token.Sheet = n.sheets.keep(s)
		}
		last := items[len(items)-1]
		token.Next, token.Run, token.Namespace, token.Name = next, n.begun.UnixNano(), last.GetNamespace(), last.GetName()
		m.SetContinue(token.String())
		if want.everything {
			left := int64(len(s.objects) - next)
			m.SetRemainingItemCount(&left)
		}
	}
	return list, nil
}

// sheetOf is what a list reads: the rest of an earlier one, or what is there now.
func (n *notes) sheetOf(ctx context.Context, want selection, opts *internalversion.ListOptions) (sheet, sheetToken, error) {
	var token sheetToken
	if opts.Continue != "" {
		raw, err := base64.RawURLEncoding.DecodeString(opts.Continue)
		if err != nil || json.Unmarshal(raw, &token) != nil || token.Name == "" || token.Next < 0 {
			return sheet{}, token, apierrors.NewBadRequest("continue key is not valid")
		}
		if token.Sheet == 0 {
			s, err := n.newSheet(ctx, want, 0, false)
			token.Next, _ = slices.BinarySearchFunc(s.objects, token, func(o events.Object, t sheetToken) int {
				return cmp.Or(t.after(o), -1) // the one that was shown is not shown again
			})
			return s, token, err
		}
		s, ok := n.sheets.get(token.Sheet)
		if !ok || token.Run != n.begun.UnixNano() {
			return s, token, tooOld(sheetToken{Namespace: token.Namespace, Name: token.Name}.String())
		}
		return s, token, nil
	}
	p, err := position(opts.ResourceVersion)
	if err != nil {
		return sheet{}, token, err
	}
	s, err := n.newSheet(ctx, want, p, exact(opts))
	return s, token, err
}

// newSheet is what is there now, a position or later; exactly that one where it is asked for.
func (n *notes) newSheet(ctx context.Context, want selection, p events.Position, exactly bool) (s sheet, err error) {
	if err := n.book.ready(ctx, p); err != nil {
		return s, err
	}
	s.objects, s.at = n.book.all(n.shelf, want.namespace)
	if exactly && p != s.at {
		return s, apierrors.NewResourceExpired("too old resource version: " + p.String() + " (" + s.at.String() + ")")
	}
	told, err := n.told(ctx, want)
	if err != nil {
		return s, err
	}
	s.objects = append(s.objects, told...)
	slices.SortFunc(s.objects, func(a, b events.Object) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return s, nil
}

// noteWatch is one watch under way.
type noteWatch struct {
	watching
	*notes
	telling telling
	since   time.Time // when it began
}

// Watch implements rest.Watcher: from a position on, or from what is there now.
func (n *notes) Watch(ctx context.Context, opts *internalversion.ListOptions) (watch.Interface, error) {
	p, err := position(opts.ResourceVersion)
	if err == nil {
		err = n.book.ready(ctx, p)
	}
	if err != nil {
		return nil, err
	}
	w := &noteWatch{watching{objects: n.objects, want: n.selection(ctx, opts), bookmarks: opts.AllowWatchBookmarks, at: p, out: make(chan watch.Event, watchRoom)}, n, telling{}, n.Now()}
	initial := opts.SendInitialEvents != nil && *opts.SendInitialEvents
	show := initial || p == 0 && opts.SendInitialEvents == nil
	var first []events.Object
	if show || p == 0 {
		first, w.at = n.book.all(n.shelf, w.want.namespace)
	}
	if _, _, _, ok := n.book.since(n.shelf, w.at); !ok {
		return nil, n.tooOld(w.at)
	}
	ctx, w.stop = context.WithCancel(ctx)
	if !show {
		first = nil
	}
	go w.run(ctx, first, show, initial)
	return w, nil
}

func (n *notes) tooOld(p events.Position) error {
	return apierrors.NewResourceExpired("too old resource version: " + p.String() + " (" + n.book.position().String() + ")")
}

// run tells what was there, and then what changes.
func (w *noteWatch) run(ctx context.Context, first []events.Object, show, mark bool) {
	defer close(w.out)
	for _, o := range first {
		if o = w.show(o); w.want.has(o) && !w.send(ctx, watch.Added, o) {
			return
		}
	}
	if show && !w.tellAll(ctx) || mark && w.bookmarks && !w.bookmark(ctx, true) {
		return
	}
	beats, looks := time.NewTicker(beat), time.NewTicker(lookEvery)
	defer beats.Stop()
	defer looks.Stop()
	end, cancel := untilEnd(ctx)
	defer cancel()
	for ctx.Err() == nil {
		turns, at, more, ok := w.notes.book.since(w.shelf, w.at)
		if !ok {
			st := statusOf(w.tooOld(w.at))
			w.send(ctx, watch.Error, &st)
			return
		}
		for _, t := range turns {
			if !w.turn(ctx, t) {
				return
			}
		}
		if w.at = at; !w.tell(ctx) {
			return
		}
		select {
		case <-more:
		case <-looks.C:
		case <-beats.C:
			w.bookmarkIfAsked(ctx)
		case <-end:
			w.bookmarkIfAsked(ctx)
			end = nil
		case <-ctx.Done():
		}
	}
}

// turn tells a change as it looks through the selectors.
func (w *noteWatch) turn(ctx context.Context, t turn) bool {
	if w.want.namespace != "" && w.want.namespace != t.key.Namespace {
		return true
	}
	was, is := w.seen(t.before), w.seen(t.after)
	switch {
	case is && was:
		return w.send(ctx, watch.Modified, w.edition(t, t.after, false))
	case is:
		return w.send(ctx, watch.Added, w.edition(t, t.after, false))
	case was:
		return w.send(ctx, watch.Deleted, w.edition(t, t.before, true))
	}
	return true
}

func (w *noteWatch) seen(o events.Object) bool {
	return o != nil && (w.want.everything || w.want.has(w.show(o)))
}

// edition is an object as all watches tell it.
func (w *noteWatch) edition(t turn, o events.Object, gone bool) *edition {
	k := t.key
	k.Resource = w.notes.kind.Resource // the two kinds of events look different
	one, _ := w.notes.feed.editions.get(editionKey{Key: k, at: t.at, gone: gone}, func() (events.Object, error) {
		shown := w.show(o)
		if gone {
			shown.SetResourceVersion(t.at.String())
		}
		return shown, nil
	})
	return one
}
