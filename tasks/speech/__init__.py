"""Speech, the phone of every frame: corpora of wav files with phones and times.

``timit``, ``festvox``, ``festvox_ru``, ``festvox_ru_mini`` and ``librispeech_mfa`` are the tasks. What they share: ``audio``
and ``transcripts`` read files, ``features`` computes, ``recordings`` does so in parallel, ``assemble`` cuts and
standardises; ``tasks.files.cache`` keeps the result. kaldi-native-fbank and soundfile are imported where a wav is read.
"""
