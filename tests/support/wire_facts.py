"""What is known of the wire: every message, field and enum value, for the tests to check against.

This is the union of Google's two published Python clients (google-genai 3.4.0
and google-ai-generativelanguage 0.12.1), under the wire's own names.  It is not
made from the dataclasses, nor they from it: that is what makes the comparison
worth something.

A field is ``name:kind``.  The kinds are str, int, float, bool, bytes (base64 on
the wire), int64 (a JSON string on the wire), dict and any (taken as they are),
{str} (a dict of strings), the name of an enum (a string) or of a message, and
one of these in brackets for a list of them.
"""

# Every message reachable from GenerateContentResponse and File.
RESPONSE = {
    "GenerateContentResponse": """
        candidates:[Candidate] createTime:str modelVersion:str promptFeedback:PromptFeedback
        responseId:str usageMetadata:UsageMetadata modelStatus:ModelStatus
    """,
    "Candidate": """
        content:Content citationMetadata:CitationMetadata finishMessage:str tokenCount:int
        finishReason:FinishReason groundingMetadata:GroundingMetadata avgLogprobs:float index:int
        logprobsResult:LogprobsResult safetyRatings:[SafetyRating]
        urlContextMetadata:UrlContextMetadata continuationToken:str
        groundingAttributions:[GroundingAttribution]
    """,
    "Content": "parts:[Part] role:str",
    "Part": """
        mediaResolution:PartMediaResolution codeExecutionResult:CodeExecutionResult
        executableCode:ExecutableCode fileData:FileData functionCall:FunctionCall
        functionResponse:FunctionResponse inlineData:Blob text:str thought:bool thoughtSignature:str
        videoMetadata:VideoMetadata toolCall:ToolCall toolResponse:ToolResponse partMetadata:dict
        audioTranscription:Transcription mediaProcessing:MediaProcessing
        speechMetadata:SpeechMetadata documentMetadata:DocumentMetadata
        spreadsheetMetadata:SpreadsheetMetadata audioMetadata:AudioMetadata
    """,
    "PartMediaResolution": "level:PartMediaResolutionLevel numTokens:int",
    "CodeExecutionResult": "outcome:Outcome output:str id:str",
    "ExecutableCode": "code:str language:Language id:str",
    "FileData": "displayName:str fileUri:str mimeType:str",
    "FunctionCall": "id:str args:dict name:str partialArgs:[PartialArg] willContinue:bool",
    "PartialArg": """
        boolValue:bool jsonPath:str nullValue:str numberValue:float stringValue:str
        willContinue:bool
    """,
    "FunctionResponse": """
        willContinue:bool scheduling:FunctionResponseScheduling parts:[FunctionResponsePart] id:str
        name:str response:dict
    """,
    "FunctionResponsePart": """
        inlineData:FunctionResponseBlob fileData:FunctionResponseFileData
        mediaProcessing:MediaProcessing mediaResolution:PartMediaResolution
        videoMetadata:VideoMetadata documentMetadata:DocumentMetadata
        spreadsheetMetadata:SpreadsheetMetadata audioMetadata:AudioMetadata
    """,
    "FunctionResponseBlob": "mimeType:str data:bytes displayName:str",
    "FunctionResponseFileData": "fileUri:str mimeType:str displayName:str",
    "VideoMetadata": """
        endOffset:str fps:float startOffset:str contentLayers:[VideoMetadataContentLayer]
    """,
    "DocumentMetadata": "startPage:int endPage:int contentLayers:[DocumentMetadataContentLayer]",
    "SpreadsheetMetadata": """
        visibleCells:str sheetIndex:int contentLayers:[SpreadsheetMetadataContentLayer]
    """,
    "AudioMetadata": "startOffset:str endOffset:str",
    "Blob": "data:bytes displayName:str mimeType:str",
    "ToolCall": "id:str toolType:ToolType args:dict",
    "ToolResponse": "id:str toolType:ToolType response:dict",
    "Transcription": """
        text:str finished:bool languageCode:str speakerLabel:str words:[WordInfo] startOffset:str
        endOffset:str
    """,
    "WordInfo": "word:str startOffset:str endOffset:str",
    "SpeechMetadata": "speaker:str style:str",
    "CitationMetadata": "citations:[Citation] citationSources:[Citation]",
    "Citation": """
        endIndex:int license:str publicationDate:GoogleTypeDate startIndex:int title:str uri:str
    """,
    "GoogleTypeDate": "day:int month:int year:int",
    "GroundingMetadata": """
        imageSearchQueries:[str] groundingChunks:[GroundingChunk]
        groundingSupports:[GroundingSupport] retrievalMetadata:RetrievalMetadata
        searchEntryPoint:SearchEntryPoint webSearchQueries:[str] googleMapsWidgetContextToken:str
        retrievalQueries:[str] sourceFlaggingUris:[GroundingMetadataSourceFlaggingUri]
    """,
    "GroundingChunk": """
        image:GroundingChunkImage maps:GroundingChunkMaps
        retrievedContext:GroundingChunkRetrievedContext web:GroundingChunkWeb
    """,
    "GroundingChunkImage": "sourceUri:str imageUri:str title:str domain:str",
    "GroundingChunkMaps": """
        placeAnswerSources:GroundingChunkMapsPlaceAnswerSources placeId:str text:str title:str
        uri:str route:GroundingChunkMapsRoute
    """,
    "GroundingChunkMapsPlaceAnswerSources": """
        reviewSnippet:[GroundingChunkMapsPlaceAnswerSourcesReviewSnippet] flagContentUri:str
        reviewSnippets:[GroundingChunkMapsPlaceAnswerSourcesReviewSnippet]
    """,
    "GroundingChunkMapsPlaceAnswerSourcesReviewSnippet": """
        authorAttribution:GroundingChunkMapsPlaceAnswerSourcesAuthorAttribution flagContentUri:str
        googleMapsUri:str relativePublishTimeDescription:str review:str reviewId:str title:str
    """,
    "GroundingChunkMapsPlaceAnswerSourcesAuthorAttribution": """
        displayName:str photoUri:str uri:str
    """,
    "GroundingChunkMapsRoute": "distanceMeters:int duration:str encodedPolyline:str",
    "GroundingChunkRetrievedContext": """
        documentName:str ragChunk:RagChunk text:str title:str uri:str
        customMetadata:[GroundingChunkCustomMetadata] fileSearchStore:str pageNumber:int mediaId:str
    """,
    "RagChunk": "pageSpan:RagChunkPageSpan text:str chunkId:str fileId:str",
    "RagChunkPageSpan": "firstPage:int lastPage:int",
    "GroundingChunkCustomMetadata": """
        key:str numericValue:float stringListValue:GroundingChunkStringList stringValue:str
    """,
    "GroundingChunkStringList": "values:[str]",
    "GroundingChunkWeb": "domain:str title:str uri:str",
    "GroundingSupport": """
        confidenceScores:[float] groundingChunkIndices:[int] segment:Segment renderedParts:[int]
    """,
    "Segment": "startIndex:int endIndex:int partIndex:int text:str",
    "RetrievalMetadata": "googleSearchDynamicRetrievalScore:float",
    "SearchEntryPoint": "renderedContent:str sdkBlob:bytes",
    "GroundingMetadataSourceFlaggingUri": "flagContentUri:str sourceId:str",
    "LogprobsResult": """
        chosenCandidates:[LogprobsResultCandidate] topCandidates:[LogprobsResultTopCandidates]
        logProbabilitySum:float
    """,
    "LogprobsResultCandidate": "logProbability:float token:str tokenId:int",
    "LogprobsResultTopCandidates": "candidates:[LogprobsResultCandidate]",
    "SafetyRating": """
        blocked:bool category:HarmCategory overwrittenThreshold:HarmBlockThreshold
        probability:HarmProbability probabilityScore:float severity:HarmSeverity severityScore:float
    """,
    "UrlContextMetadata": "urlMetadata:[UrlMetadata]",
    "UrlMetadata": "retrievedUrl:str urlRetrievalStatus:UrlRetrievalStatus",
    "GroundingAttribution": "sourceId:dict content:Content",
    "PromptFeedback": """
        blockReason:BlockedReason blockReasonMessage:str safetyRatings:[SafetyRating]
    """,
    "UsageMetadata": """
        cacheTokensDetails:[ModalityTokenCount] cachedContentTokenCount:int candidatesTokenCount:int
        candidatesTokensDetails:[ModalityTokenCount] promptTokenCount:int
        promptTokensDetails:[ModalityTokenCount] thoughtsTokenCount:int toolUsePromptTokenCount:int
        toolUsePromptTokensDetails:[ModalityTokenCount] totalTokenCount:int trafficType:TrafficType
    """,
    "ModalityTokenCount": "modality:MediaModality tokenCount:int",
    "ModelStatus": "message:str modelStage:ModelStage retirementTime:str",
    "File": """
        name:str displayName:str mimeType:str sizeBytes:int64 createTime:str expirationTime:str
        updateTime:str sha256Hash:str uri:str downloadUri:str state:FileState source:FileSource
        videoMetadata:dict error:FileStatus
    """,
    "FileStatus": "details:[dict] message:str code:int",
    # https://ai.google.dev/api/models#Model and https://ai.google.dev/api/tokens#response-body; the
    # last field is Vertex AI's.
    "Model": """
        name:str baseModelId:str version:str displayName:str description:str inputTokenLimit:int
        outputTokenLimit:int supportedGenerationMethods:[str] thinking:bool temperature:float
        maxTemperature:float topP:float topK:int
    """,
    "CountTokensResponse": """
        totalTokens:int cachedContentTokenCount:int promptTokensDetails:[ModalityTokenCount]
        cacheTokensDetails:[ModalityTokenCount] totalBillableCharacters:int
    """,
}

# What users write.
REQUEST = {
    "GenerateContentRequest": """
        contents:[Content] systemInstruction:Content tools:[Tool] toolConfig:ToolConfig
        safetySettings:[SafetySetting] generationConfig:GenerationConfig cachedContent:str
        continuationToken:str serviceTier:str store:bool labels:{str}
    """,
    "GenerationConfig": """
        modelSelectionConfig:dict responseJsonSchema:any audioTimestamp:bool candidateCount:int
        enableAffectiveDialog:bool frequencyPenalty:float logprobs:int maxOutputTokens:int
        mediaResolution:MediaResolution presencePenalty:float responseLogprobs:bool
        responseMimeType:str responseModalities:[Modality] responseSchema:dict routingConfig:dict
        seed:int speechConfig:SpeechConfig stopSequences:[str] temperature:float
        thinkingConfig:ThinkingConfig topK:float topP:float enableEnhancedCivicAnswers:bool
        responseFormat:[dict] translationConfig:dict audioTranscriptionConfig:dict
        imageConfig:ImageConfig responseJsonSchemaOrdered:any
    """,
    "SpeechConfig": """
        voiceConfig:VoiceConfig languageCode:str multiSpeakerVoiceConfig:MultiSpeakerVoiceConfig
    """,
    "VoiceConfig": "replicatedVoiceConfig:dict prebuiltVoiceConfig:PrebuiltVoiceConfig voice:str",
    "PrebuiltVoiceConfig": "voiceName:str",
    "MultiSpeakerVoiceConfig": "speakerVoiceConfigs:[SpeakerVoiceConfig]",
    "SpeakerVoiceConfig": "speaker:str voiceConfig:VoiceConfig",
    "ThinkingConfig": "includeThoughts:bool thinkingBudget:int thinkingLevel:ThinkingLevel",
    "ImageConfig": "aspectRatio:str imageSize:str",
    "SafetySetting": "category:HarmCategory method:HarmBlockMethod threshold:HarmBlockThreshold",
    "ToolConfig": """
        retrievalConfig:RetrievalConfig functionCallingConfig:FunctionCallingConfig
        includeServerSideToolInvocations:bool
    """,
    "RetrievalConfig": "latLng:LatLng languageCode:str",
    "LatLng": "latitude:float longitude:float",
    "FunctionCallingConfig": """
        allowedFunctionNames:[str] mode:FunctionCallingConfigMode streamFunctionCallArguments:bool
    """,
    "FunctionDeclaration": """
        description:str name:str parameters:dict parametersJsonSchema:any response:dict
        responseJsonSchema:any behavior:Behavior
    """,
    "Tool": """
        retrieval:dict computerUse:dict fileSearch:dict googleSearch:dict googleMaps:dict
        codeExecution:dict enterpriseWebSearch:dict functionDeclarations:[FunctionDeclaration]
        googleSearchRetrieval:dict parallelAiSearch:dict urlContext:dict mcpServers:[dict]
        exaAiSearch:dict
    """,
}

MESSAGES = {**RESPONSE, **REQUEST}

ENUMS = {
    "Behavior": "UNSPECIFIED BLOCKING NON_BLOCKING",
    "BlockedReason": """
        BLOCKED_REASON_UNSPECIFIED SAFETY OTHER BLOCKLIST PROHIBITED_CONTENT IMAGE_SAFETY
        MODEL_ARMOR JAILBREAK
    """,
    "DocumentMetadataContentLayer": "CONTENT_LAYER_UNSPECIFIED PAGE_IMAGE PAGE_TEXT",
    "FileSource": "SOURCE_UNSPECIFIED UPLOADED GENERATED REGISTERED",
    "FileState": "STATE_UNSPECIFIED PROCESSING ACTIVE FAILED",
    "FinishReason": """
        FINISH_REASON_UNSPECIFIED STOP MAX_TOKENS SAFETY RECITATION LANGUAGE OTHER BLOCKLIST
        PROHIBITED_CONTENT SPII MALFORMED_FUNCTION_CALL IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT
        IMAGE_OTHER NO_IMAGE IMAGE_RECITATION UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS
        MISSING_THOUGHT_SIGNATURE MALFORMED_RESPONSE ESCALATION PUP_LIMITED_DISABLED CONTINUATION
        MODEL_ARMOR
    """,
    "FunctionCallingConfigMode": "MODE_UNSPECIFIED AUTO ANY NONE VALIDATED",
    "FunctionResponseScheduling": "SCHEDULING_UNSPECIFIED SILENT WHEN_IDLE INTERRUPT",
    "HarmBlockMethod": "HARM_BLOCK_METHOD_UNSPECIFIED SEVERITY PROBABILITY",
    "HarmBlockThreshold": """
        HARM_BLOCK_THRESHOLD_UNSPECIFIED BLOCK_LOW_AND_ABOVE BLOCK_MEDIUM_AND_ABOVE BLOCK_ONLY_HIGH
        BLOCK_NONE OFF
    """,
    "HarmCategory": """
        HARM_CATEGORY_UNSPECIFIED HARM_CATEGORY_HARASSMENT HARM_CATEGORY_HATE_SPEECH
        HARM_CATEGORY_SEXUALLY_EXPLICIT HARM_CATEGORY_DANGEROUS_CONTENT
        HARM_CATEGORY_CIVIC_INTEGRITY HARM_CATEGORY_JAILBREAK HARM_CATEGORY_IMAGE_HATE
        HARM_CATEGORY_IMAGE_DANGEROUS_CONTENT HARM_CATEGORY_IMAGE_HARASSMENT
        HARM_CATEGORY_IMAGE_SEXUALLY_EXPLICIT
    """,
    "HarmProbability": "HARM_PROBABILITY_UNSPECIFIED NEGLIGIBLE LOW MEDIUM HIGH",
    "HarmSeverity": """
        HARM_SEVERITY_UNSPECIFIED HARM_SEVERITY_NEGLIGIBLE HARM_SEVERITY_LOW HARM_SEVERITY_MEDIUM
        HARM_SEVERITY_HIGH
    """,
    "Language": "LANGUAGE_UNSPECIFIED PYTHON",
    "MediaModality": "MODALITY_UNSPECIFIED TEXT IMAGE VIDEO AUDIO DOCUMENT",
    "MediaProcessing": "MEDIA_PROCESSING_UNSPECIFIED STATIC AGENTIC",
    "MediaResolution": """
        MEDIA_RESOLUTION_UNSPECIFIED MEDIA_RESOLUTION_LOW MEDIA_RESOLUTION_MEDIUM
        MEDIA_RESOLUTION_HIGH
    """,
    "Modality": "MODALITY_UNSPECIFIED TEXT IMAGE AUDIO VIDEO",
    "ModelStage": """
        MODEL_STAGE_UNSPECIFIED UNSTABLE_EXPERIMENTAL EXPERIMENTAL PREVIEW STABLE LEGACY DEPRECATED
        RETIRED
    """,
    "Outcome": "OUTCOME_UNSPECIFIED OUTCOME_OK OUTCOME_FAILED OUTCOME_DEADLINE_EXCEEDED",
    "PartMediaResolutionLevel": """
        MEDIA_RESOLUTION_UNSPECIFIED MEDIA_RESOLUTION_LOW MEDIA_RESOLUTION_MEDIUM
        MEDIA_RESOLUTION_HIGH MEDIA_RESOLUTION_ULTRA_HIGH
    """,
    "SpreadsheetMetadataContentLayer": "CONTENT_LAYER_UNSPECIFIED DATA FORMULAS VISUAL",
    "ThinkingLevel": "THINKING_LEVEL_UNSPECIFIED MINIMAL LOW MEDIUM HIGH XHIGH",
    "ToolType": """
        TOOL_TYPE_UNSPECIFIED GOOGLE_SEARCH_WEB GOOGLE_SEARCH_IMAGE URL_CONTEXT GOOGLE_MAPS
        FILE_SEARCH MEDIA_PROCESSING
    """,
    "TrafficType": """
        TRAFFIC_TYPE_UNSPECIFIED ON_DEMAND ON_DEMAND_PRIORITY ON_DEMAND_FLEX ON_DEMAND_OFFPEAK
        PROVISIONED_THROUGHPUT
    """,
    "UrlRetrievalStatus": """
        URL_RETRIEVAL_STATUS_UNSPECIFIED URL_RETRIEVAL_STATUS_SUCCESS URL_RETRIEVAL_STATUS_ERROR
        URL_RETRIEVAL_STATUS_PAYWALL URL_RETRIEVAL_STATUS_UNSAFE
    """,
    "VideoMetadataContentLayer": "CONTENT_LAYER_UNSPECIFIED FRAMES AUDIO TRANSCRIPT",
}


def fields_of(message):
    """Wire name to kind, of one message."""
    return dict(word.split(":") for word in MESSAGES[message].split())
