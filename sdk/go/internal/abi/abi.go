// Package abi moves values across the component boundary, as the component model's canonical ABI lays them out in linear
// memory. Types are described by Go types, read by reflection:
//
//	record   struct, its fields in order
//	list     slice
//	option   pointer
//	variant  struct that embeds Variant; the other fields are the cases in order, one of them a non-nil pointer
//	enum     a uint8 type
//	string, bool, integers and floats as they are
//
// Go's pointers are 64 bits wide in WebAssembly and the ABI's 32, so that no Go struct can be handed over as it is.
package abi

import (
	"math"
	"reflect"
	"unsafe"
)

// Variant marks a struct as a variant.
type Variant struct{}

// None is the payload of a case that has none.
type None struct{}

// PluginError is `plugin-error` of the shared types.
type PluginError struct {
	Message      string
	Retryable    bool
	RetryAfterMs *uint64
}

// Label is `label` of the shared types.
type Label struct {
	Name  string
	Value string
}

// Answer is `result<T, E>`: one of both is there.
type Answer[T, E any] struct {
	Variant
	Ok  *T
	Err *E
}

// Result is `result<T, plugin-error>`.
type Result[T any] = Answer[T, PluginError]

var variantType = reflect.TypeFor[Variant]()

// layout is what the ABI says of a type.
type layout struct {
	size, align uint32
	// Of a record the offset of each field; of a variant that of the payload, once.
	offsets   []uint32
	isVariant bool
}

var layouts = map[reflect.Type]*layout{}

// Flag is a bool, or whether an option has a value, as an argument.
func Flag(set bool) uint32 {
	if set {
		return 1
	}
	return 0
}

func up(offset, align uint32) uint32 { return (offset + align - 1) &^ (align - 1) }

func layoutOf(t reflect.Type) *layout {
	if found := layouts[t]; found != nil {
		return found
	}
	made := measure(t)
	layouts[t] = made
	return made
}

func measure(t reflect.Type) *layout {
	switch t.Kind() {
	case reflect.Bool, reflect.Uint8, reflect.Int8:
		return &layout{size: 1, align: 1}
	case reflect.Uint16, reflect.Int16:
		return &layout{size: 2, align: 2}
	case reflect.Uint32, reflect.Int32, reflect.Float32:
		return &layout{size: 4, align: 4}
	case reflect.Uint64, reflect.Int64, reflect.Float64:
		return &layout{size: 8, align: 8}
	case reflect.String, reflect.Slice:
		return &layout{size: 8, align: 4}
	case reflect.Pointer:
		inner := layoutOf(t.Elem())
		offset := up(1, inner.align)
		return &layout{size: up(offset+inner.size, inner.align), align: inner.align, offsets: []uint32{offset}}
	case reflect.Struct:
		if t.NumField() > 0 && t.Field(0).Type == variantType {
			largest := layout{align: 1}
			for i := 1; i < t.NumField(); i++ {
				inner := layoutOf(t.Field(i).Type.Elem())
				largest.size = max(largest.size, inner.size)
				largest.align = max(largest.align, inner.align)
			}
			offset := up(1, largest.align)
			return &layout{size: up(offset+largest.size, largest.align), align: largest.align, offsets: []uint32{offset}, isVariant: true}
		}
		made := &layout{align: 1}
		for i := range t.NumField() {
			inner := layoutOf(t.Field(i).Type)
			made.size = up(made.size, inner.align)
			made.offsets = append(made.offsets, made.size)
			made.size += inner.size
			made.align = max(made.align, inner.align)
		}
		made.size = up(made.size, made.align)
		return made
	}
	panic("abi: no layout for " + t.String())
}

// kept holds what the other side may still read: Go's collector does not see addresses in linear memory.
var kept [][]byte

// Allocate gives zeroed memory that stays until Release.
func Allocate(size uint32) uint32 {
	if size == 0 {
		return 8
	}
	// Words, so that everything is aligned.
	words := make([]uint64, (size+7)/8)
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), size)
	kept = append(kept, bytes)
	return Address(bytes)
}

// Address is where the bytes begin.
func Address(bytes []byte) uint32 {
	if len(bytes) == 0 {
		return 8
	}
	return uint32(uintptr(unsafe.Pointer(&bytes[0])))
}

// Release lets go of everything allocated.
func Release() {
	clear(kept)
	kept = kept[:0]
}

// Keep holds bytes until Release.
func Keep(bytes []byte) {
	if len(bytes) > 0 {
		kept = append(kept, bytes)
	}
}

func at[T any](address uint32) *T { return (*T)(unsafe.Add(unsafe.Pointer(nil), address)) }

// Store lays a value out in new memory and gives the address.
func Store(value any) uint32 {
	v := reflect.ValueOf(value)
	address := Allocate(layoutOf(v.Type()).size)
	store(address, v)
	return address
}

// StringOf gives address and length of a text, which stays where it is until Release.
func StringOf(text string) (address, length uint32) {
	if text == "" {
		return 8, 0
	}
	bytes := unsafe.Slice(unsafe.StringData(text), len(text))
	Keep(bytes)
	return Address(bytes), uint32(len(text))
}

// BytesOf gives address and length of bytes, which stay where they are until Release.
func BytesOf(bytes []byte) (address, length uint32) {
	Keep(bytes)
	return Address(bytes), uint32(len(bytes))
}

// ListOf gives address and length of a list, laid out in new memory.
func ListOf[T any](list []T) (address, length uint32) { return storeList(reflect.ValueOf(list)) }

// Room gives zeroed memory for an answer.
func Room[T any]() uint32 { return Allocate(layoutOf(reflect.TypeFor[T]()).size) }

func store(address uint32, v reflect.Value) {
	t := v.Type()
	switch t.Kind() {
	case reflect.Bool:
		*at[bool](address) = v.Bool()
	case reflect.Uint8:
		*at[uint8](address) = uint8(v.Uint())
	case reflect.Uint16:
		*at[uint16](address) = uint16(v.Uint())
	case reflect.Uint32:
		*at[uint32](address) = uint32(v.Uint())
	case reflect.Int32:
		*at[int32](address) = int32(v.Int())
	case reflect.Uint64:
		*at[uint64](address) = v.Uint()
	case reflect.Int64:
		*at[int64](address) = v.Int()
	case reflect.Float64:
		*at[uint64](address) = math.Float64bits(v.Float())
	case reflect.String:
		*at[uint32](address), *at[uint32](address + 4) = StringOf(v.String())
	case reflect.Slice:
		*at[uint32](address), *at[uint32](address + 4) = storeList(v)
	case reflect.Pointer:
		if !v.IsNil() {
			*at[uint8](address) = 1
			store(address+layoutOf(t).offsets[0], v.Elem())
		}
	case reflect.Struct:
		inner := layoutOf(t)
		if inner.isVariant {
			for i := 1; i < t.NumField(); i++ {
				if field := v.Field(i); !field.IsNil() {
					*at[uint8](address) = uint8(i - 1)
					store(address+inner.offsets[0], field.Elem())
					return
				}
			}
			panic("abi: a " + t.String() + " without a case")
		}
		for i, offset := range inner.offsets {
			store(address+offset, v.Field(i))
		}
	default:
		panic("abi: cannot store " + t.String())
	}
}

func storeList(v reflect.Value) (address, length uint32) {
	count := v.Len()
	if count == 0 {
		return 8, 0
	}
	// Numbers lie in Go's slices as they do in the ABI's lists.
	switch list := v.Interface().(type) {
	case []byte:
		return BytesOf(list)
	case []float64:
		return keepNumbers(list)
	case []int64:
		return keepNumbers(list)
	case []uint32:
		return keepNumbers(list)
	}
	inner := layoutOf(v.Type().Elem())
	address = Allocate(inner.size * uint32(count))
	for i := range count {
		store(address+uint32(i)*inner.size, v.Index(i))
	}
	return address, uint32(count)
}

func keepNumbers[T float64 | int64 | uint32](list []T) (address, length uint32) {
	first := unsafe.Pointer(&list[0])
	Keep(unsafe.Slice((*byte)(first), int(unsafe.Sizeof(list[0]))*len(list)))
	return uint32(uintptr(first)), uint32(len(list))
}

// Load reads a value that the other side has laid out. What it holds is copied: the memory may go afterwards.
func Load[T any](address uint32) T {
	var value T
	load(address, reflect.ValueOf(&value).Elem())
	return value
}

// LoadString copies a text.
func LoadString(address, length uint32) string {
	return string(unsafe.Slice(at[byte](address), length))
}

// LoadList copies a list.
func LoadList[T any](address, length uint32) []T {
	var list []T
	loadList(address, length, reflect.ValueOf(&list).Elem())
	return list
}

func load(address uint32, v reflect.Value) {
	t := v.Type()
	switch t.Kind() {
	case reflect.Bool:
		v.SetBool(*at[uint8](address) != 0)
	case reflect.Uint8:
		v.SetUint(uint64(*at[uint8](address)))
	case reflect.Uint16:
		v.SetUint(uint64(*at[uint16](address)))
	case reflect.Uint32:
		v.SetUint(uint64(*at[uint32](address)))
	case reflect.Int32:
		v.SetInt(int64(*at[int32](address)))
	case reflect.Uint64:
		v.SetUint(*at[uint64](address))
	case reflect.Int64:
		v.SetInt(*at[int64](address))
	case reflect.Float64:
		v.SetFloat(math.Float64frombits(*at[uint64](address)))
	case reflect.String:
		v.SetString(LoadString(*at[uint32](address), *at[uint32](address + 4)))
	case reflect.Slice:
		loadList(*at[uint32](address), *at[uint32](address + 4), v)
	case reflect.Pointer:
		if *at[uint8](address) != 0 {
			v.Set(reflect.New(t.Elem()))
			load(address+layoutOf(t).offsets[0], v.Elem())
		}
	case reflect.Struct:
		inner := layoutOf(t)
		if inner.isVariant {
			field := v.Field(int(*at[uint8](address)) + 1)
			field.Set(reflect.New(field.Type().Elem()))
			load(address+inner.offsets[0], field.Elem())
			return
		}
		for i, offset := range inner.offsets {
			load(address+offset, v.Field(i))
		}
	default:
		panic("abi: cannot load " + t.String())
	}
}

func loadList(address, length uint32, v reflect.Value) {
	if length == 0 {
		return
	}
	if v.Type().Elem().Kind() == reflect.Uint8 {
		v.SetBytes(append([]byte(nil), unsafe.Slice(at[byte](address), length)...))
		return
	}
	switch list := v.Addr().Interface().(type) {
	case *[]float64:
		*list = append([]float64(nil), unsafe.Slice(at[float64](address), length)...)
		return
	case *[]int64:
		*list = append([]int64(nil), unsafe.Slice(at[int64](address), length)...)
		return
	case *[]uint32:
		*list = append([]uint32(nil), unsafe.Slice(at[uint32](address), length)...)
		return
	}
	inner := layoutOf(v.Type().Elem())
	v.Set(reflect.MakeSlice(v.Type(), int(length), int(length)))
	for i := range int(length) {
		load(address+uint32(i)*inner.size, v.Index(i))
	}
}
