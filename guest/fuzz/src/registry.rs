//! LibAFL keeps what its parts know of an input or of the run in maps by type, and knows each type by a list. With std a constructor fills that list
//! before `main`; here it is this function.

use libafl::corpus::SchedulerTestcaseMetadata;
use libafl::feedbacks::map::{MapFeedbackMetadata, MapIndexesMetadata, MapNoveltiesMetadata};
use libafl::mutators::Tokens;
use libafl::schedulers::minimizer::{IsFavoredMetadata, TopRatedsMetadata};
use libafl::schedulers::powersched::SchedulerMetadata;
use libafl::schedulers::weighted::WeightedScheduleMetadata;
use libafl::stages::RetryCountRestartHelper;
use libafl::stages::calibrate::{DisabledInCalibrationStageMetadata, UnstableEntriesMetadata};
use libafl_bolts::serdeany::RegistryBuilder;

/// Makes all types known that the fuzzer's parts use. Once, before anything else.
pub fn fill() {
    // SAFETY: nobody uses the registry at the same time: the guest has one CPU, and the tests hold a lock.
    unsafe {
        RegistryBuilder::register::<MapFeedbackMetadata<u8>>();
        RegistryBuilder::register::<MapIndexesMetadata>();
        RegistryBuilder::register::<MapNoveltiesMetadata>();
        RegistryBuilder::register::<RetryCountRestartHelper>();
        RegistryBuilder::register::<SchedulerMetadata>();
        RegistryBuilder::register::<SchedulerTestcaseMetadata>();
        RegistryBuilder::register::<WeightedScheduleMetadata>();
        RegistryBuilder::register::<TopRatedsMetadata>();
        RegistryBuilder::register::<IsFavoredMetadata>();
        RegistryBuilder::register::<UnstableEntriesMetadata>();
        RegistryBuilder::register::<DisabledInCalibrationStageMetadata>();
        RegistryBuilder::register::<Tokens>();
    }
}
