package main

import (
	"reflect"
	"slices"
	"strings"
)

// grammar is what the parser has to know for a command line: everything, or, when
// the first word is a verb, that verb alone, because a parser of all verbs takes
// longer to make than most verbs take to run. The flags of every verb are behind
// the second value.
func grammar(argv []string) (any, *globals) {
	all := &cli{}
	if len(argv) == 0 {
		return all, &all.globals
	}
	verb, ok := verbField(reflect.TypeOf(*all), argv[0])
	if !ok {
		return all, &all.globals
	}
	one := reflect.New(reflect.StructOf([]reflect.StructField{
		{Name: "Globals", Type: reflect.TypeOf(all.globals), Tag: `embed:""`},
		{Name: verb.Name, Type: verb.Type, Tag: verb.Tag},
	}))
	return one.Interface(), one.Elem().Field(0).Addr().Interface().(*globals)
}

// verbField finds the field of a verb, as the parser would name it.
func verbField(t reflect.Type, name string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			if inner, ok := verbField(f.Type, name); ok {
				return inner, true
			}
			continue
		}
		if _, is := f.Tag.Lookup("cmd"); is && slices.Contains([]string{f.Tag.Get("name"), strings.ToLower(f.Name)}, name) {
			return f, true
		}
	}
	return reflect.StructField{}, false
}
