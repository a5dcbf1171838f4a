//! Failure files: whatever the text, it is read or refused in words, and what is read is written and read again as the same.
#![no_main]

use squall_campaign::failure_file::FailureFile;

libfuzzer_sys::fuzz_target!(|text: &str| {
    match FailureFile::from_text(text) {
        Ok(file) => {
            let again = FailureFile::from_text(&file.to_text()).expect("what was written can be read");
            assert_eq!(again, file);
            let _ = file.plan();
        }
        Err(problem) => assert!(!problem.is_empty()),
    }
});
