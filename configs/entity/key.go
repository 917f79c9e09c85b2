package entity

// CheckKey checks a value that an entity is to be found by: the field's own rules hold for it. The error is an *Error.
// A field that the schema does not have takes every value. Kong: kong/db/dao/init.lua validate_unique_type
func (s *Schema) CheckKey(field, value string) error {
	f := s.record.field(field)
	if f == nil {
		return nil
	}
	if text, ok := validateField(&scope{schemas: s.schemas}, f, value).(string); ok {
		return &Error{Code: CodeUnique, Name: "invalid unique " + field, Message: text}
	}
	return nil
}
